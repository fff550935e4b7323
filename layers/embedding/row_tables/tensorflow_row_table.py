"""Fused tables on TensorFlow."""

import functools
import weakref
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.python.eager import record

from .base_row_table import BaseRowTable, refuse_second_lookup
from .exchange import Exchange


class RowTable(BaseRowTable):
    """A table that a custom gradient updates in place.

    The scalar `gradient_hook` is trainable, so that the tape calls the gradient.
    """

    def __init__(self, layer: Any, store: Any, exchange: Exchange) -> None:
        super().__init__(layer, store, exchange)
        self._lookups: weakref.WeakSet[_Lookup] = weakref.WeakSet()
        self._hook = layer.add_weight(
            name="gradient_hook", shape=(), initializer="zeros", dtype="float32", autocast=False
        )

    def train_lookup(
        self, rows: Any, masked: bool, update: Callable[..., Any], learning_rate: Any, check: Callable[[], None]
    ) -> tuple[Any, Any]:
        """Look rows up; the tape has the store train them with their gradient."""
        # The tape keeps the gradient function, and so this object, until it has called it or is dropped.
        waiting = [_Lookup(tf.compat.v1.get_default_graph() if not tf.executing_eagerly() else None)]
        self._lookups.add(waiting[0])
        asked, route = self.exchange.request(rows)

        def connect(hook: Any, vectors: Any) -> Any:
            def backward(gradient: Any, loss_scale: Any) -> tuple[Any, Any]:
                check()
                others = [other for other in self._lookups if waiting and other is not waiting[0]]
                if not waiting or any(other.graph is waiting[0].graph for other in others):
                    refuse_second_lookup()
                self._lookups.discard(waiting.pop())
                rule = functools.partial(update, learning_rate=learning_rate, loss_scale=loss_scale)
                gradient = self.exchange.return_gradient(tf.convert_to_tensor(gradient), route)
                self.store.update(asked, gradient, rule)
                return tf.zeros_like(hook), None

            return (tf.identity(vectors), tf.zeros_like(hook)), backward

        vectors = self.exchange.reply(self.store.gather(asked, masked), route)
        return tf.custom_gradient(connect)(self._hook.value, vectors)

    def may_train(self) -> bool:
        """Whether a tape records: an exported graph must not know of slots."""
        return record.could_possibly_record()


class _Lookup:
    """A forward pass on a tape, and the graph it was traced in."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
