"""How XLA compiles in the tests."""

# Tiny models spend their time in XLA's compiler. It optimises nothing here, and writes fused operations by its older
# emitters for CPUs, which take a JAX test a third less time than the newer ones. What is computed is the same.
XLA_FLAGS = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
