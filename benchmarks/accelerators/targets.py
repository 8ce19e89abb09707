"""Devices that programs are compiled for on a computer that has none."""

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path

DESCRIPTIONS = Path(__file__).parent.parent / "targets"
EXTRA = "pip install -e '.[accelerators]'"


class TargetError(Exception):
    """A target that cannot be compiled for here; a sentence that says why, and the mend."""


@dataclass(frozen=True)
class Target:
    """A device, what its compiler needs, and how fast it is at most."""

    name: str
    platform: str
    topology: str
    modules: tuple[str, ...]
    """What must be installed."""
    unit: str
    """Of what its compiler's cost model says."""
    environment: dict[str, str] = field(default_factory=dict, hash=False)
    products: float = 0.0
    """Operations a second of products of float32 rounded to TF32."""
    bandwidth: float = 0.0
    """Bytes a second to and from memory."""

    def need_compiler(self) -> None:
        """Refuse where the packages are missing.

        Raises:
            TargetError: which one, and how to install it.
        """
        for module in self.modules:
            try:
                found = importlib.util.find_spec(module)
            except ModuleNotFoundError:
                found = None
            if found is None:
                raise TargetError(
                    f"compiling for {self.name} needs the module {module}, which is not installed; {EXTRA}"
                )

    def device(self) -> object:
        """Jax's device of this kind.

        Raises:
            TargetError: the installed jax cannot compile for it.
        """
        import jax
        from jax.experimental import topologies

        description = DESCRIPTIONS / f"{self.name}.txtpb"
        options = {"topology": "1x1x1", "target_config": description.read_text()} if description.exists() else {}
        try:
            found = topologies.get_topology_desc(platform=self.platform, topology_name=self.topology, **options)
        except Exception as error:
            said = str(error).strip().splitlines()
            raise TargetError(
                f"jax {jax.__version__} cannot compile for {self.name}: {said[0] if said else type(error).__name__}; "
                f"install the versions that go together by {EXTRA}"
            ) from error
        return found.devices[0]


_CUDA = {"XLA_FLAGS": "--xla_gpu_collect_cost_model_stats=true", "JAX_PLATFORMS": "cpu"}
_CUDA_MODULES = ("jax_cuda12_plugin", "jax_plugins.xla_cuda12", "nvidia.cuda_nvcc")
_TPU = {
    "JAX_PLATFORMS": "cpu",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}
TARGETS = {
    target.name: target
    for target in (
        Target("h100", "cuda", "", _CUDA_MODULES, "us", _CUDA, products=494.7e12, bandwidth=3.352e12),
        Target("a100", "cuda", "", _CUDA_MODULES, "us", {"JAX_PLATFORMS": "cpu"}, products=156e12, bandwidth=2.039e12),
        Target("v5e", "tpu", "v5e:2x2", ("libtpu",), "cycles", _TPU),
    )
}
