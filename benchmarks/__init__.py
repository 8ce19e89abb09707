"""Speed, memory and start of jaxad beside its peers: `python -m benchmarks`. Never imported by the package."""
