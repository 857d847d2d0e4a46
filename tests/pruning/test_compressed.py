import gzip
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from pruning.compressed import Form, pack, unpack
from pruning.errors import PruningError
from pruning.measure import file_sizes
from pruning.methods import methods
from pruning.prune import prune
from pruning.storage import load, read, same, save

DTYPES = [
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int8,
    torch.uint8, torch.bool, torch.complex64,
]  # fmt: skip


def sparse(shape: tuple[int, ...], sparsity: float, dtype=torch.float32, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(shape, generator=generator) * 50
    values[torch.rand(shape, generator=generator) < sparsity] = 0
    return values.to(dtype)


def octets(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.uint8)


def places(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.int32)


@given(
    st.lists(st.integers(0, 12), max_size=4), st.floats(0, 1), st.sampled_from(DTYPES), st.integers(0, 99),
)  # fmt: skip
def test_what_is_packed_is_unpacked_bit_for_bit(shape, sparsity, dtype, seed):
    tensors = {"a": sparse(tuple(shape), sparsity, dtype, seed), "big": sparse((60, 40), sparsity, dtype)}
    packed, forms = pack(tensors)
    assert same(unpack(packed, forms), tensors)


@pytest.mark.parametrize("where", ["mask", "positions"])
def test_every_bit_counts(where):
    odd = [-(2**31), 0x7FC01234, 1, 0x7F800000, -0x400000, 0x3F800000]  # -0.0, NaNs, denormal, infinity, 1
    bits = torch.zeros(90, 100, dtype=torch.int32)
    bits[:: 3 if where == "mask" else 30, 5:65] = torch.tensor(odd * 10, dtype=torch.int32)
    weight = bits.view(torch.float32)
    packed, forms = pack({"w": weight.T})  # not contiguous either
    assert forms["w"].where == where
    found = unpack(packed, forms)["w"]
    wanted = weight.T.contiguous().view(torch.int32)
    assert torch.equal(found.view(torch.int32), wanted.masked_fill(wanted == -(2**31), 0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_a_negative_zero_is_a_zero(dtype, tmp_path):
    """What ``torch.nn.utils.prune`` leaves, stored as if it were a value."""
    weight = sparse((60, 40), 0.9, dtype)
    model = nn.ParameterList([nn.Parameter(weight)])
    signed = nn.ParameterList([nn.Parameter(torch.where(weight == 0, -weight, weight))])
    sizes = []
    for i, one in enumerate((model, signed)):
        save(one, tmp_path / f"{i}.safetensors")
        sizes.append(file_sizes(one, tmp_path / f"{i}.safetensors")["compressed"])
    assert signed[0].signbit().sum() > 2000
    assert sizes[0] == sizes[1]


def test_by_hand():
    weight = torch.zeros(512)
    weight[1], weight[8] = 7, 5
    packed, forms = pack({"w": weight})
    assert forms == {"w": Form(where="positions", shape=(512,))}
    assert packed["w#where"].tolist() == [1, 8]
    assert packed["w#values"].tolist() == [7.0, 5.0]
    mask = {"w#where": octets(0b01000000, 0b10000000), "w#values": torch.tensor([7.0, 5.0])}
    found = unpack(mask, {"w": Form(where="mask", shape=(3, 3))})["w"]
    assert found.tolist() == [[0, 7, 0], [0, 0, 0], [0, 0, 5]]


REALISTIC = {
    "lenet-300-100": [(300, 784), (100, 300), (10, 100)],
    "convolutions": [(64, 3, 3, 3), (64, 64, 3, 3), (128, 64, 3, 3), (10, 128)],
    "one-large": [(500, 784)],
}


@pytest.mark.parametrize("sparsity", [0.5, 0.75, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("name", list(REALISTIC))
def test_files_are_at_most_a_tenth_above_the_better_of_two_textbook_formats(name, sparsity, tmp_path):
    """Bit mask and values, or CSR with int32 indices as scipy has it; the whole file, its header included."""
    model = nn.ParameterList([nn.Parameter(sparse(shape, sparsity)) for shape in REALISTIC[name]])
    save(model, tmp_path / "dense.safetensors")
    sizes = file_sizes(model, tmp_path / "dense.safetensors")
    masks = csr = 0
    for weight in model:
        matrix = csr_matrix(weight.detach().flatten(1).numpy())
        assert matrix.indices.dtype == matrix.indptr.dtype == "int32"
        csr += matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
        masks += -(-weight.numel() // 8) + int(weight.count_nonzero()) * 4
    assert sizes["compressed"] <= 1.1 * min(masks, csr)
    assert sizes["dense"] > sum(weight.numel() * 4 for weight in model)
    assert sizes["compressed"] < 0.6 * sizes["dense"]


def test_what_has_no_zeros_stays_as_it_is(tmp_path):
    model = nn.Linear(50, 50)
    save(model, tmp_path / "dense.safetensors")
    save(model, tmp_path / "compressed.safetensors", compressed=True)
    assert set(load_file(tmp_path / "compressed.safetensors")) == {"weight", "bias"}
    sizes = file_sizes(model, tmp_path / "dense.safetensors")
    assert 0 <= sizes["compressed"] - sizes["dense"] < 100


def test_a_gzipped_file_is_as_gzip_makes_it(tmp_path):
    model = nn.Linear(300, 300)
    with torch.no_grad():
        model.weight[:200] = 0
    save(model, tmp_path / "dense.safetensors")
    sizes = file_sizes(model, tmp_path / "dense.safetensors")
    assert sizes["gzip"] == len(gzip.compress((tmp_path / "dense.safetensors").read_bytes(), 6))
    assert sizes["gzip"] < 0.5 * sizes["dense"]


@pytest.mark.parametrize("name", ["global-magnitude", "filter-l2"])
def test_models_are_read_back_from_history_and_state(case, generator, tmp_path, name):
    pruned = prune(case.model, methods()[name].recipe, 0.9 if name == "global-magnitude" else 0.5,
                   example_input=case.x, generator=generator)  # fmt: skip
    path = tmp_path / "m.safetensors"
    save(pruned.model, path, pruned.history, compressed=True)
    loaded = load(path, case.build, case.x).eval()
    assert torch.equal(loaded(case.x), pruned.model.eval()(case.x))
    assert same(loaded.state_dict(), pruned.model.state_dict())
    assert read(path)[0] == pruned.history


def test_tied_weights_are_compressed_once(tmp_path):
    def build() -> nn.Module:
        model = nn.Sequential(nn.Linear(60, 60, bias=False), nn.Linear(60, 60, bias=False))
        model[1].weight = model[0].weight
        return model

    model = build()
    with torch.no_grad():
        model[0].weight[5:] = 0
    save(model, tmp_path / "m.safetensors", compressed=True)
    assert set(load_file(tmp_path / "m.safetensors")) == {"0.weight#where", "0.weight#values"}
    loaded = load(tmp_path / "m.safetensors", build, torch.zeros(1, 60))
    assert loaded[1].weight is loaded[0].weight
    assert torch.equal(loaded[0].weight, model[0].weight)


def test_names_that_would_collide_stay_as_they_are():
    tensors = {"w": torch.zeros(1000), "w#values": torch.zeros(3)}
    packed, forms = pack(tensors)
    assert same(unpack(packed, forms), tensors)


def claim(where: str, *shape: int) -> str:
    return json.dumps({"w": {"where": where, "shape": shape}})


MASK, POSITIONS, THREE = claim("mask", 20, 20), claim("positions", 20, 20), torch.ones(3)


@pytest.mark.parametrize(
    ("forms", "where", "values", "message"),
    [
        ("{", THREE, THREE, "metadata is damaged"),
        (claim("code", 1), THREE, THREE, "metadata is damaged"),
        (MASK, None, None, "w: is said to be compressed, but its two parts are not there"),
        (MASK, None, THREE, "two parts are not there"),
        (MASK, octets(*[0] * 49), THREE, "mask of 49 bytes for 400"),
        (MASK, octets(*[0] * 50), THREE, "w: 0 places for values"),
        (MASK, torch.zeros(50), THREE, "a mask of torch.float32"),
        (claim("mask", 3, 131), octets(*[255] * 50), THREE, "goes on behind its 393"),
        (POSITIONS, places(0, 5, 400), THREE, "do not rise"),
        (POSITIONS, places(0, 5, 5), THREE, "do not rise"),
        (POSITIONS, places(-1, 5, 6), THREE, "do not rise"),
        (POSITIONS, places(0, 1), THREE, "2 places"),
        (POSITIONS, torch.tensor([0, 1, 2]), THREE, "positions of torch.int64"),
        (claim("positions", -20, -20), places(0), THREE, "cannot be"),
        (claim("positions", 2**32, 1024), places(0), THREE, "cannot be"),
        (claim("positions", 0), places(0), torch.ones(1), "do not rise"),
    ],
)
def test_hostile_files_are_refused(tmp_path, forms, where, values, message):
    path = tmp_path / "m.safetensors"
    parts = {"other": torch.ones(2), "w#where": where, "w#values": values}
    tensors = {name: part.clone() for name, part in parts.items() if part is not None}
    save_file(tensors, path, {"prune_audit.compressed": forms})
    with pytest.raises(PruningError, match=message) as error:
        read(path)
    assert str(path) in str(error.value)


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_truncated_files_are_refused(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("cut") / "m.safetensors"
    model = nn.Linear(40, 40)
    with torch.no_grad():
        model.weight[3:] = 0
    save(model, path, compressed=True)
    whole = path.read_bytes()
    path.write_bytes(whole[: cut % len(whole)])
    with pytest.raises(PruningError, match="not a safetensors file, or damaged"):
        read(path)


def test_a_file_of_another_model_is_refused_by_name(tmp_path):
    model = nn.Linear(40, 40)
    with torch.no_grad():
        model.weight[3:] = 0
    save(model, tmp_path / "m.safetensors", compressed=True)
    with pytest.raises(PruningError, match="weight is"):
        load(tmp_path / "m.safetensors", lambda: nn.Linear(40, 41), torch.zeros(1, 40))
