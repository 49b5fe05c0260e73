"""Products of tensors, whichever library multiplies."""

import numpy as np
import pytest
import torch

from src.evaluate.decoders.tensors import LEAST_PRODUCT, _has_onednn, matmul


@pytest.mark.parametrize("transposed", [(), (0,), (1,), (0, 1)], ids=str)
@pytest.mark.parametrize("shape", [(3, 4, 5), (300, 400, 500), (1, 4096, 8192), (5000, 2000, 3)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_equal_those_in_float64(shape, dtype, transposed):
    n, m, k = shape
    random = torch.Generator().manual_seed(0)
    sides = [torch.randn(size, generator=random, dtype=dtype) for size in ((n, m), (m, k))]
    a, b = (side.T.contiguous().T if i in transposed else side for i, side in enumerate(sides))
    found, expected = matmul(a, b), a.double().numpy() @ b.double().numpy()
    assert found.dtype == dtype
    np.testing.assert_allclose(found.numpy(), expected, atol=100 * torch.finfo(dtype).eps * m**0.5)


def test_large_products_on_a_wide_processor_are_those_of_onednn():
    """Seen by the operator that torch records, where the processor has AVX-512."""
    if not _has_onednn():
        pytest.skip("no AVX-512, or torch without oneDNN")
    n = round(LEAST_PRODUCT ** (1 / 3)) + 1
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        matmul(torch.ones(n, n), torch.ones(n, n))
    assert any("mkldnn" in event.key for event in seen.key_averages())
