"""A killed `fit` goes on where it was, also where codes have been reset."""

import keras
import numpy as np
import pytest
from support.fixed_weights import as_array


class KilledError(Exception):
    pass


class KillInSecondEpoch(keras.callbacks.Callback):
    epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (1, 5):
            raise KilledError


def fresh(ads):
    """32 batches an epoch, resets at batches 20, 40 and 60: a resumed run shows if it draws other rows."""
    keras.utils.set_random_seed(0)
    model = ads.model(ads.groups("user", ema_decay=0.5))
    model.compile(keras.optimizers.Adam(0.01))
    return model


def test_backup_and_restore(ads, tmp_path):
    x, y = ads.columns(), ads.labels()
    run = {"x": x, "y": y, "batch_size": 2, "epochs": 2, "shuffle": False, "verbose": 0}
    whole = fresh(ads)
    whole.fit(**run)

    def backup():
        return keras.callbacks.BackupAndRestore(tmp_path / "backup")

    with pytest.raises(KilledError):
        fresh(ads).fit(**run, callbacks=[backup(), KillInSecondEpoch()])
    resumed = fresh(ads)
    assert resumed.fit(**run, callbacks=[backup()]).epoch == [1]
    assert not (tmp_path / "backup").exists()
    for expected, found in zip(whole.weights, resumed.weights, strict=True):
        np.testing.assert_allclose(as_array(found), as_array(expected), rtol=1e-4, atol=1e-5, err_msg=expected.path)
    quantizer = whole.group_concats["user"].quantizer
    never_reset = 0.5 ** int(as_array(quantizer.steps)) / quantizer.codebook_size
    assert as_array(quantizer.codebook_usage).min() > 100 * never_reset, "no code was reset: this proves nothing"
