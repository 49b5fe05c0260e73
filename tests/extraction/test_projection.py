import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.sparse import csr_matrix

from src.extraction.projection import make_projection, n_outputs, sparse_signs


def as_matrix(n_features: int, n_components: int, seed: int = 0) -> csr_matrix:
    counts, columns, signs = sparse_signs(n_features, n_components, seed)
    return csr_matrix((signs, columns, np.concatenate([[0], np.cumsum(counts)])), shape=(n_components, n_features))


FINGERPRINT = """
from hashlib import sha256
from src.extraction.projection import sparse_signs
print(sha256(b"".join(part.tobytes() for part in sparse_signs(6001, 100, 7))).hexdigest())
"""


@pytest.mark.parametrize("n_features", [2, 3, 4, 6, 9])
def test_a_component_without_a_cell_is_all_zeros(n_features):
    drawn = [sparse_signs(n_features, 1, seed) for seed in range(500)]
    assert all(counts.sum() == len(columns) == len(signs) for counts, columns, signs in drawn)
    empty = [len(columns) == 0 for _, columns, _ in drawn]
    assert np.mean(empty) == pytest.approx((1 - 1 / np.sqrt(n_features)) ** n_features, abs=0.05)


@settings(max_examples=30, deadline=None)
@given(n_features=st.integers(2, 3000), n_components=st.integers(1, 50), seed=st.integers(0, 2**32 - 1))
def test_cells_are_distinct_signs_in_order(n_features, n_components, seed):
    counts, columns, signs = sparse_signs(n_features, n_components, seed)
    cells = np.repeat(np.arange(n_components), counts) * n_features + columns
    assert np.all(np.diff(cells) > 0)
    assert columns.max(initial=0) < n_features
    assert set(np.unique(signs)) <= {-1, 1}


@pytest.mark.parametrize(("n_features", "n_components"), [(10_000, 500), (50, 4000), (7777, 300)])
def test_density_and_signs_are_those_of_li_2006(n_features, n_components):
    matrix = as_matrix(n_features, n_components)
    p = 1 / np.sqrt(n_features)
    n = n_features * n_components
    assert abs(matrix.nnz - n * p) < 5 * np.sqrt(n * p * (1 - p))
    assert abs(matrix.sum()) < 5 * np.sqrt(matrix.nnz)
    per_row = np.diff(matrix.indptr)
    assert stats.kstest((per_row - n_features * p) / np.sqrt(n_features * p * (1 - p)), "norm").statistic < 0.15
    assert per_row.var() == pytest.approx(n_features * p * (1 - p), rel=0.4)
    per_column = np.bincount(matrix.indices, minlength=n_features)
    assert per_column.var() == pytest.approx(n_components * p * (1 - p), rel=0.4)


def test_distances_are_kept():
    rows = torch.randn(40, 20_000, generator=torch.Generator().manual_seed(0))
    projected = make_projection("layer", 20_000, 2000)(rows)
    ratio = torch.pdist(projected) / torch.pdist(rows)
    assert ratio.mean() == pytest.approx(1, abs=0.02)
    assert ratio.std() < 0.04


@pytest.mark.parametrize("n_rows", [1, 2, 5, 40])
def test_product_equals_scipys(n_rows):
    n_features, n_components = 6000, 300
    made = make_projection("layer", n_features, n_components)
    starts = np.append(made.starts.numpy(), len(made.columns))
    matrix = csr_matrix((made.values.numpy(), made.columns.numpy(), starts), shape=(n_components, n_features))
    np.testing.assert_allclose(np.abs(made.values), np.sqrt(np.sqrt(n_features) / n_components), rtol=1e-6)
    rows = torch.randn(n_rows, n_features, generator=torch.Generator().manual_seed(1))
    np.testing.assert_allclose(made(rows), (matrix @ rows.numpy().T).T, atol=1e-4)


def test_rows_do_not_depend_on_their_neighbours():
    made = make_projection("layer", 6000, 300)
    rows = torch.randn(9, 6000, generator=torch.Generator().manual_seed(1))
    np.testing.assert_allclose(torch.cat([made(row[None]) for row in rows]), made(rows), atol=1e-5)


def test_few_features_are_not_projected():
    assert (n_outputs(4999, 5000), n_outputs(5001, 5000), n_outputs(10**6, None)) == (4999, 5000, 10**6)
    assert make_projection("layer", 5000, 5000) is None
    assert make_projection("layer", 10**6, None) is None


def test_layers_have_different_matrices():
    one, other = (make_projection(layer, 6000, 300) for layer in ("a", "b"))
    assert len(one.columns) != len(other.columns) or not torch.equal(one.columns, other.columns)


@pytest.mark.parametrize("hash_seed", ["0", "77"])
def test_the_matrix_is_the_same_in_every_process(hash_seed):
    env = os.environ | {"PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", FINGERPRINT], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.strip() == "8cb8facdaae776e83c723575ab7c46bf3fda90dfd0e635e62e55784cf4d52047"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_equals_cpu():
    rows = torch.randn(33, 50_000)
    there = make_projection("layer", 50_000, 5000, "cuda")(rows.cuda()).cpu()
    torch.testing.assert_close(there, make_projection("layer", 50_000, 5000)(rows), atol=1e-3, rtol=1e-4)
