"""Adapters as files: to peft and back, onto the right model, and no other."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.models.adapted import answers, learn, lively
from tests.models.tiny import SIDE, tiny
from tests.models.weights.conftest import State
from torch import nn

from anymask.errors import AnymaskError, CapabilityError, InputError, OutputError, WeightsError
from anymask.models import variants
from anymask.models.lora import LoraConfig, add_lora, drop_lora, lora_layers, merge
from anymask.models.sam_adapter import SamAdapterConfig, add_sam_adapter
from anymask.models.variants import find
from anymask.models.weights import adapters
from anymask.models.weights.adapters import load_adapter, save_adapter
from anymask.models.weights.folder import write_folder
from anymask.models.weights.loading import load_network, read_checkpoint
from anymask.models.weights.transformers_layout import make_config, to_transformers

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"

# Layers and a part that learns whole, of every kind of network.
CASES = {
    "sam-vit-b": (("qkv", "lin1", "neck.2", "mask_downscaling.0"), "mask_decoder"),
    "mobile-sam": (("qkv", "conv1.c"), "mask_decoder"),
    "efficient-sam-ti": (("qkv", "lin1"), "mask_decoder"),
    "bundled": (("qkv", "first.0", "lateral8.0"), "decoder"),
}
every_kind = pytest.mark.parametrize("name", CASES)

# Importing peft and using it warns of what is not ours.
of_peft = pytest.mark.filterwarnings("ignore")


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def peft() -> Any:
    return pytest.importorskip("peft", reason="peft is not installed")


def taught(
    name: str, folder: Path, config: LoraConfig | SamAdapterConfig, base: str = ""
) -> nn.Module:
    """A network that has learned, and the adapter that it wrote."""
    network = lively(name)
    (add_lora if isinstance(config, LoraConfig) else add_sam_adapter)(network, config)  # type: ignore[arg-type]
    learn(network, *config.whole)
    save_adapter(network, folder, config, base or name)
    return network


def close(network: nn.Module, wanted: torch.Tensor) -> None:
    atol = 2e-6 * max(10.0, float(wanted.abs().max()))  # sums in another order, as peft adds them
    torch.testing.assert_close(answers(network), wanted, rtol=1e-5, atol=atol)


# ---- peft -----------------------------------------------------------------------------------


@of_peft
@every_kind
@pytest.mark.parametrize("with_part", [False, True], ids=["", "and a part"])
def test_peft_reads_what_we_write(name: str, with_part: bool, tmp_path: Path, peft: Any) -> None:
    targets, part = CASES[name]
    config = LoraConfig(3, 5.0, targets, whole=(part,) if with_part else ())
    network = taught(name, tmp_path / "ours", config)
    theirs = peft.PeftModel.from_pretrained(lively(name), tmp_path / "ours")
    assert (answers(network) - answers(lively(name))).abs().max() > 1e-3
    close(theirs.eval(), answers(network))


@of_peft
@every_kind
@pytest.mark.parametrize("with_part", [False, True], ids=["", "and a part"])
def test_we_read_what_peft_writes(name: str, with_part: bool, tmp_path: Path, peft: Any) -> None:
    targets, part = CASES[name]
    config = peft.LoraConfig(
        r=4,
        lora_alpha=6,
        target_modules=list(targets),
        modules_to_save=[part] if with_part else None,
        rank_pattern={"qkv": 2},
        alpha_pattern={r".*\.0\.attn\.qkv": 9},
        use_rslora=with_part,
        bias="none" if with_part else "lora_only",
    )
    theirs = peft.get_peft_model(lively(name), config)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in theirs.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
    theirs.eval().save_pretrained(tmp_path / "theirs")

    network = lively(name)
    read = load_adapter(network, tmp_path / "theirs")
    wanted = answers(theirs)
    assert (wanted - answers(lively(name))).abs().max() > 1e-3
    close(network, wanted)
    assert read == LoraConfig(4, 6, tuple(lora_layers(network)), 0.0, (part,) if with_part else ())

    if with_part:  # the biases would not come along
        save_adapter(network, tmp_path / "again", read, name)
        again = lively(name)
        load_adapter(again, tmp_path / "again")
        close(again, wanted)


@of_peft
def test_an_adapter_of_transformers_sam(tmp_path: Path, peft: Any) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    network = lively("sam-vit-b")
    config = transformers.SamConfig(**make_config(tiny(find("sam-vit-b")).network))
    model = transformers.SamModel(config).eval()
    state = to_transformers(network.state_dict())
    model.load_state_dict(state, strict=False)
    lora = peft.LoraConfig(
        r=2,
        lora_alpha=4,
        target_modules=["qkv", "neck.conv2", "proj_in", "iou_prediction_head.layers.0"],
        alpha_pattern={"vision_encoder.layers.1.attn.qkv": 1},
    )
    theirs = peft.get_peft_model(model, lora)
    torch.manual_seed(3)
    with torch.no_grad():
        for key, parameter in theirs.named_parameters():
            if "lora_B" in key:
                parameter.normal_(std=0.1)
    theirs.save_pretrained(tmp_path / "theirs")
    load_adapter(network, tmp_path / "theirs")
    merge(network)
    merged = theirs.merge_and_unload().state_dict()
    ours = to_transformers(network.state_dict())
    for key in state:
        torch.testing.assert_close(ours[key], merged[key], rtol=1e-5, atol=1e-6)
    layers = lora_layers(network)
    assert layers["image_encoder.blocks.1.attn.qkv"].scale == 0.5
    assert layers["mask_decoder.iou_prediction_head.layers.1"].scale == 2


def test_the_files(tmp_path: Path) -> None:
    config = LoraConfig(2, 3.0, ("qkv",), 0.1, whole=("image_encoder.neck",))
    taught("sam-vit-b", tmp_path / "a", config)
    facts = json.loads((tmp_path / "a" / CONFIG).read_text())
    names = [f"image_encoder.blocks.{i}.attn.qkv" for i in range(2)]
    wanted = {
        "base_model_name_or_path": "sam-vit-b",
        "peft_type": "LORA",
        "r": 2,
        "lora_alpha": 3.0,
        "lora_dropout": 0.1,
        "target_modules": names,
        "modules_to_save": ["image_encoder.neck"],
    }
    assert {key: facts[key] for key in wanted} == wanted
    shapes = {key: tuple(value.shape) for key, value in load_file(tmp_path / "a" / WEIGHTS).items()}
    key = f"base_model.model.{names[0]}"
    assert shapes[f"{key}.lora_A.weight"] == (2, 32)
    assert shapes[f"{key}.lora_B.weight"] == (96, 2)
    assert "base_model.model.image_encoder.neck.0.weight" in shapes
    assert len(shapes) == 4 + 6
    with pytest.raises(OutputError, match="it is there already"):
        taught("sam-vit-b", tmp_path / "a", config)


# ---- back onto a network --------------------------------------------------------------------

BOTH = [
    LoraConfig(targets=("qkv", "lin2"), whole=("mask_decoder",)),
    SamAdapterConfig(reduction=8, low_share=0),
]
every_adapter = pytest.mark.parametrize("config", BOTH, ids=["lora", "sam-adapter"])


@every_adapter
@pytest.mark.parametrize("name", ["sam-vit-b", "efficient-sam-ti"])
def test_there_and_back(name: str, config: LoraConfig | SamAdapterConfig, tmp_path: Path) -> None:
    network = taught(name, tmp_path / "a", config)
    other = lively(name)
    read = load_adapter(other, tmp_path / "a")
    close(other, answers(network))
    assert read.whole == config.whole
    merge(other)
    save_adapter(other, tmp_path / "b", read, name)  # merged or not, it is the same
    torch.testing.assert_close(
        load_file(tmp_path / "a" / WEIGHTS), load_file(tmp_path / "b" / WEIGHTS), rtol=0, atol=0
    )


def write_base(folder: Path, name: str = "sam-vit-b", seed: int = 0) -> str:
    write_folder(folder, tiny(find(name)), lively(name, seed).state_dict())
    return str(folder)


@every_adapter
def test_its_folder_stands_for_the_model_with_it(
    config: LoraConfig | SamAdapterConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_base(tmp_path / "base")
    monkeypatch.chdir(tmp_path)
    wanted = answers(taught("sam-vit-b", tmp_path / "a", config, base="base"))
    monkeypatch.chdir("/")
    digests = set()
    for source, adapter in (
        (tmp_path / "a", None),
        (tmp_path / "a" / WEIGHTS, None),
        (tmp_path / "base", tmp_path / "a"),
        (tmp_path / "base", tmp_path / "a" / WEIGHTS),
    ):
        network, variant, digest = load_network(source, adapter=adapter)
        close(network, wanted)
        digests.add(digest)
        assert lora_layers(network) == {}  # merged, and ordinary again
        silent = isinstance(config, SamAdapterConfig)
        assert (variant.capabilities == {"nothing"}) == silent
    assert len(digests) == 1
    assert load_network(tmp_path / "base")[2] not in digests


def test_an_adapter_on_top_of_another(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base")
    config = LoraConfig(targets=("qkv",))
    network = taught("sam-vit-b", tmp_path / "first", config, base)
    merge(network)
    drop_lora(network)
    add_lora(network, config)
    learn(network)
    save_adapter(network, tmp_path / "second", config, str(tmp_path / "first"))
    close(load_network(tmp_path / "second")[0], answers(network))
    close(load_network(tmp_path / "first", adapter=tmp_path / "second")[0], answers(network))
    assert [a.weights.parent.name for a in read_checkpoint(tmp_path / "second").adapters] == [
        "first",
        "second",
    ]


def test_names_of_the_table_stay_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sam-vit-b").mkdir()
    monkeypatch.chdir(tmp_path)
    taught("sam-vit-b", tmp_path / "a", LoraConfig())
    facts = json.loads((tmp_path / "a" / CONFIG).read_text())
    assert facts["base_model_name_or_path"] == "sam-vit-b"


# ---- what does not fit ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made_with", "config", "name", "complaint"),
    [
        ("sam-vit-b", LoraConfig(), "mobile-sam", r"4 unexpected \(image_encoder\.blocks\.0\.attn"),
        ("sam-vit-b", LoraConfig(), "bundled", "4 unexpected"),
        ("bundled", LoraConfig(), "sam-vit-b", "unexpected .*it was made for, bundled"),
    ],
)
def test_of_another_variant(
    made_with: str,
    config: LoraConfig | SamAdapterConfig,
    name: str,
    complaint: str,
    tmp_path: Path,
) -> None:
    taught(made_with, tmp_path / "a", config)
    network = lively(name)
    before = answers(network)
    with pytest.raises(WeightsError, match=complaint):
        load_adapter(network, tmp_path / "a", name)
    torch.testing.assert_close(answers(network), before, rtol=0, atol=0)
    assert lora_layers(network) == {}
    assert not any("adapter" in key for key in network.state_dict())


def test_of_another_variant_with_the_same_decoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tuple(tiny(find(name)) for name in ("sam-vit-b", "mobile-sam"))
    for module in (variants, adapters):
        monkeypatch.setattr(module, "VARIANTS", table)
    taught("mobile-sam", tmp_path / "a", LoraConfig(targets=("q_proj",)))
    write_base(tmp_path / "sam-vit-b")
    with pytest.raises(WeightsError, match="adapter for sam-vit-b, got one for mobile-sam"):
        load_network(tmp_path / "sam-vit-b", adapter=tmp_path / "a")
    write_base(tmp_path / "mobile-sam", "mobile-sam")
    load_network(tmp_path / "mobile-sam", adapter=tmp_path / "a")


@pytest.mark.parametrize("change", [{"revision": None}, {"revision": "0" * 64}, {}])
def test_for_weights_that_shipped_with_another_version(
    change: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = tiny(find("bundled"))
    monkeypatch.setattr(adapters, "VARIANTS", (row,))
    taught("bundled", tmp_path / "a", LoraConfig(targets=("qkv",)))
    base = write_base(tmp_path / "base", "bundled")
    load_network(base, adapter=tmp_path / "a")
    path = tmp_path / "a" / CONFIG
    facts = json.loads(path.read_text())
    del facts["revision"]
    path.write_text(json.dumps(facts | change))
    with pytest.raises(WeightsError, match="ship with this version of anymask, got one for others"):
        load_network(base, adapter=tmp_path / "a")


@every_adapter
def test_of_another_width(config: LoraConfig | SamAdapterConfig, tmp_path: Path) -> None:
    taught("sam-vit-b", tmp_path / "a", config)
    path = tmp_path / "a" / WEIGHTS
    state = load_file(path)
    key = next(k for k in state if k.endswith(("qkv.lora_A.weight", "of_tokens.weight")))
    state[key] = torch.zeros(state[key].shape[0], 48)
    save_file(state, path)
    network = lively("sam-vit-b")
    with pytest.raises(
        WeightsError, match=r"got 1 mis-shaped \(image_encoder.* 48\] for \[.* 32\]\)"
    ):
        load_adapter(network, tmp_path / "a", "sam-vit-b")
    load_error = r"load the model that it was made for, sam-vit-b$"
    with pytest.raises(WeightsError, match=load_error):
        load_adapter(network, tmp_path / "a", "sam-vit-b")


def lose_b(state: State, facts: dict[str, Any]) -> None:
    del state[next(key for key in state if "lora_B" in key)]


def lose_layer(state: State, facts: dict[str, Any]) -> None:
    for key in [key for key in state if "blocks.1.attn.qkv.lora" in key]:
        del state[key]


def lose_of_part(state: State, facts: dict[str, Any]) -> None:
    del state["base_model.model.mask_decoder.iou_token.weight"]


def empty_product(state: State, facts: dict[str, Any]) -> None:
    for key in list(state):
        if "blocks.0.attn.qkv.lora_A" in key:
            state[key] = torch.zeros(0, 32)
        if "blocks.0.attn.qkv.lora_B" in key:
            state[key] = torch.zeros(96, 0)


def whole_numbers(state: State, facts: dict[str, Any]) -> None:
    for key in list(state):
        state[key] = state[key].to(torch.int32)


def magnitude(state: State, facts: dict[str, Any]) -> None:
    state["base_model.model.image_encoder.blocks.0.attn.qkv.lora_magnitude_vector"] = torch.ones(96)


def says(**words: Any) -> Callable[[State, dict[str, Any]], None]:
    return lambda state, facts: facts.update(words)


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lose_b, r"1 missing \(.*lora_B\.weight\)"),
        (
            lose_layer,
            r"no product for 'image_encoder\.blocks\.1\.attn\.qkv', which its config lists",
        ),
        (lose_of_part, r"1 missing \(mask_decoder\.iou_token\.weight\)"),
        (empty_product, "2 unexpected"),
        (whole_numbers, "mis-shaped .* torch.int32 for torch.float32"),
        (magnitude, "1 unexpected .*lora_magnitude_vector"),
        (says(peft_type="ADALORA"), "another kind than LoRA .'ADALORA'"),
        (says(peft_type=None), "another kind than LoRA .None"),
        (says(use_dora=True), r"anymask does not know \(use_dora\)"),
        (says(init_lora_weights="pissa"), "other weights than the model's .'pissa'"),
        (says(init_lora_weights=[]), "other weights than the model's"),
        (says(r="8"), "r, lora_alpha, lora_dropout of '8'"),
        (says(r=5), r"product of rank \d at image_encoder\..*qkv, where its config says 5"),
        (says(rank_pattern={"qkv": 5}), "where its config says 5"),
        (says(rank_pattern={"(": 5}), "rank_pattern"),
        (says(lora_alpha=None), "of 8, None"),
        (says(lora_dropout=2), "got .*2; twice the rank"),
        (says(alpha_pattern={"(": 1}), "alpha_pattern"),
        (says(alpha_pattern={"qkv": "x"}), "alpha_pattern"),
        (says(alpha_pattern={"qkv": "nan"}), "alpha_pattern"),
        (says(alpha_pattern=[1]), "alpha_pattern"),
    ],
)
def test_a_file_that_is_not_what_it_should_be(
    spoil: Callable[[State, dict[str, Any]], None], complaint: str, tmp_path: Path
) -> None:
    taught("sam-vit-b", tmp_path / "a", BOTH[0])
    config, weights = tmp_path / "a" / CONFIG, tmp_path / "a" / WEIGHTS
    facts, state = json.loads(config.read_text()), load_file(weights)
    spoil(state, facts)
    config.write_text(json.dumps(facts))
    save_file(state, weights)
    network = lively("sam-vit-b")
    before = answers(network)
    with pytest.raises(AnymaskError, match=complaint):
        load_adapter(network, tmp_path / "a")
    torch.testing.assert_close(answers(network), before, rtol=0, atol=0)
    assert lora_layers(network) == {}


@every_adapter
def test_numbers_that_are_not_finite(config: LoraConfig | SamAdapterConfig, tmp_path: Path) -> None:
    taught("sam-vit-b", tmp_path / "a", config)
    state = load_file(tmp_path / "a" / WEIGHTS)
    key = sorted(state)[0]
    state[key].view(-1)[0] = torch.nan
    save_file(state, tmp_path / "a" / WEIGHTS)
    with pytest.raises(WeightsError, match=f"finite numbers .* got others in {re.escape(key)};"):
        load_adapter(lively("sam-vit-b"), tmp_path / "a")


@pytest.mark.parametrize("facts", [{"reduction": "8"}, {"low_share": None}, {"reduction": 0}])
def test_a_sam_adapter_whose_numbers_are_none(facts: dict[str, Any], tmp_path: Path) -> None:
    taught("sam-vit-b", tmp_path / "a", BOTH[1])
    path = tmp_path / "a" / CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))
    with pytest.raises(AnymaskError, match="reduction"):
        load_adapter(lively("sam-vit-b"), tmp_path / "a")


def test_networks_that_have_one_or_can_have_none(tmp_path: Path) -> None:
    network = taught("sam-vit-b", tmp_path / "lora", LoraConfig())
    with pytest.raises(InputError, match="got one that has it"):
        load_adapter(network, tmp_path / "lora")
    taught("sam-vit-b", tmp_path / "sam", SamAdapterConfig())
    load_adapter(network, tmp_path / "sam")  # one of each is fine
    with pytest.raises(InputError, match="got one that has it"):
        load_adapter(network, tmp_path / "sam")
    assert len(lora_layers(network)) == 2
    with pytest.raises(CapabilityError, match="no plain vision transformer"):
        load_adapter(lively("bundled"), tmp_path / "sam")


def test_places_without_an_adapter(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base")
    for place, found in ((tmp_path / "nowhere", "nothing"), (tmp_path / "base", "something else")):
        with pytest.raises(WeightsError, match=f"expected a folder with {CONFIG} .*got {found}"):
            load_network(base, adapter=place)
    taught("sam-vit-b", tmp_path / "a", LoraConfig())
    (tmp_path / "a" / WEIGHTS).unlink()
    with pytest.raises(WeightsError, match="something else"):
        load_network(tmp_path / "a")


def test_models_that_are_not_to_be_found(tmp_path: Path) -> None:
    taught("sam-vit-b", tmp_path / "a", LoraConfig())
    path = tmp_path / "a" / CONFIG
    facts = json.loads(path.read_text())
    for base, complaint in (
        (None, "got None; load that model with this as its adapter"),
        ("/nowhere/base.pth", "cannot find the model of the adapter in .*'/nowhere/base.pth'"),
        ("", "got ''"),
        (str(tmp_path / "a"), "got one made for itself"),
    ):
        path.write_text(json.dumps(facts | {"base_model_name_or_path": base}))
        with pytest.raises(WeightsError, match=complaint):
            load_network(tmp_path / "a")


def test_a_half_type(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base")
    taught("sam-vit-b", tmp_path / "a", LoraConfig(), base)
    network, _, _ = load_network(tmp_path / "a", dtype=torch.bfloat16)
    assert {p.dtype for p in network.parameters()} == {torch.bfloat16}
    whole, _, _ = load_network(tmp_path / "a")
    key = "image_encoder.blocks.0.attn.qkv.weight"
    difference = network.state_dict()[key].float() - whole.state_dict()[key]
    assert difference.abs().max() < 0.02
    pixels = torch.zeros(1, 3, SIDE, SIDE, dtype=torch.bfloat16)
    with torch.inference_mode():
        assert network.encode(pixels, (SIDE, SIDE))["image"].isfinite().all()


def test_parts_that_are_none(tmp_path: Path) -> None:
    network = taught("sam-vit-b", tmp_path / "a", BOTH[0])
    path = tmp_path / "a" / CONFIG
    facts = json.loads(path.read_text())
    path.write_text(json.dumps(facts | {"modules_to_save": [{}, 1, "", "nowhere"]}))
    other = lively("sam-vit-b")
    assert load_adapter(other, tmp_path / "a").whole == ()
    close(other, answers(network))  # its tensors are in the file all the same


def test_files_of_weights_may_be_called_adapter(tmp_path: Path) -> None:
    torch.save(load_network("bundled")[0].state_dict(), tmp_path / "adapter_of_mine.pth")
    found = read_checkpoint(tmp_path / "adapter_of_mine.pth")
    assert (found.variant, found.adapters) == (find("bundled"), ())
