"""YAML and JSON that mislead or exhaust are refused by their place, and at once."""

import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from a4d.config import load_yaml
from a4d.documents import parse_json, parse_yaml
from a4d.errors import ConfigError, InvalidInputError
from a4d.io.assets.asset_files import asset_files
from a4d.io.tensor_files import read_tensor_header, read_tensors

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{former}'] * 9)}]\n" for former, name in zip("abcdefgh", "bcdefghi", strict=True)
)

YAML = {
    "a: 1\nb: {c: 2, c: 3}": "line 2: the key 'c' is given twice",
    "a: 1\na: 2": "line 2: the key 'a' is given twice",
    BOMB: "has over 100000 values",
    "a: &a [*a]": "an alias stands inside itself",
    "[" * 100_000: "nested too deeply",
    "a:\n\t- b": "line 2: a tab stands where spaces belong",
    "a: 1\n---\nb: 2": "line 2: a second document begins",
    "a: !!python/name:os.system x": "line 1: it has a tag that is not taken",
    "a: " + "9" * 5000: "number without end",
    "a: " + "1:" * 9999 + "1": "number without end",
    "a: 2001-99-99": "'2001-99-99' is no value of its kind",
    "a: !!bool x": "'x' is no value of its kind",
    "? [1]\n: 2": "a key is a list or a mapping",
    "a: [1,": "ends too early",
    "a: \x00": "a character that text does not have",
    'a: "\\ud800"': "half a character",
    'a: "\\U00110000"': "an escape that means no character",
}


@pytest.mark.parametrize("text", YAML, ids=lambda text: repr(text[:20]))
def test_yaml_that_misleads_or_exhausts_is_refused(text: str) -> None:
    started = time.process_time()
    with pytest.raises(InvalidInputError) as caught:
        parse_yaml(text, "settings.yaml")
    message = str(caught.value)
    assert message.startswith("settings.yaml is not valid YAML")
    assert YAML[text] in message
    assert "\n" not in message
    assert time.process_time() - started < 2


def test_yaml_keeps_what_it_means() -> None:
    assert parse_yaml("base: &base {a: 1, b: 2}\nmore:\n  <<: *base\n  b: 3\nlist: [*base, *base]", "x") == {
        "base": {"a": 1, "b": 2},
        "more": {"a": 1, "b": 3},
        "list": [{"a": 1, "b": 2}] * 2,
    }
    assert parse_yaml("", "x") is None
    assert parse_yaml("a: " + "x" * 300_000, "x") == {"a": "x" * 300_000}


JSON = {
    '{"a": 1, "b": {"c": 1, "c": 2}}': "has the key 'c' twice in one object",
    "[" * 100_000: "nested too deeply",
    '{"a": NaN}': "holds NaN, which is no number of JSON",
    '{"a": -Infinity}': "holds -Infinity",
    '{"a": 1e999}': "the number 1e999, which is too large",
    '{"a": ' + "9" * 5000 + "}": "a number of 5000 digits",
    '{"a": 1,\n "b" 2}': "not valid JSON at line 2",
    '{"a": "\\ud800"}': "half a character",
    "": "not valid JSON at line 1",
}


@pytest.mark.parametrize("text", JSON, ids=lambda text: repr(text[:20]))
def test_json_that_misleads_or_exhausts_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_json(text, "record.json")
    assert JSON[text] in str(caught.value)
    assert str(caught.value).startswith("record.json ")


def test_a_file_of_settings_may_be_json_and_is_no_endless_device(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": [1, 2.5, "\\u00e4"]}')
    assert load_yaml(tmp_path / "a.json") == {"a": [1, 2.5, "ä"]}
    with pytest.raises(ConfigError, match="over 32 MB"):
        load_yaml(Path("/dev/zero"))


def with_header(path: Path, header: bytes, data: bytes = b"") -> Path:
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)
    return path


HEADERS = {
    b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}': "'a' of shape [2] does not fill its 4 bytes",
    b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}': (
        "'b' begins at byte 2 of the data, where byte 4 is due"
    ),
    b'{"a":{"dtype":"F4","shape":[1],"data_offsets":[0,4]}}': "the unknown type F4",
    b'{"a":{"dtype":"F32","shape":[-1,-1],"data_offsets":[0,4]}}': "lacks a type, a shape or a place",
    b'{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,64]}}': "does not fill its 64 bytes",
    b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}': (
        "has the key 'a' twice"
    ),
    b"[" * 100_000: "nested too deeply",
    b"[]": "no JSON object",
    b'{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}': "describes 75 bytes, and the file has 67",
    b'{"__metadata__":{"a":1}}': "no list of texts by name",
}


@pytest.mark.parametrize("header", HEADERS, ids=lambda header: repr(header[:50]))
def test_odd_headers_of_safetensors_are_refused(tmp_path: Path, header: bytes) -> None:
    path = with_header(tmp_path / "w.safetensors", header, b"\0" * 4)
    with pytest.raises(InvalidInputError) as caught:
        read_tensors(path)
    assert HEADERS[header] in str(caught.value)
    assert "w.safetensors" in str(caught.value)


def test_a_header_longer_than_its_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes((2**63).to_bytes(8, "little") + b"{}")
    with pytest.raises(InvalidInputError, match="its header would be 9223372036854775808 bytes long"):
        read_tensor_header(path)


def test_tensors_come_as_they_were_written(tmp_path: Path) -> None:
    tensors = {"a": torch.rand(3, 4), "b": torch.arange(5), "c": torch.zeros(0, 3), "d": torch.ones(2).bfloat16()}
    save_file(tensors, tmp_path / "w.safetensors", metadata={"facts": "{}"})
    header = read_tensor_header(tmp_path / "w.safetensors")
    assert header.shapes == {"a": (3, 4), "b": (5,), "c": (0, 3), "d": (2,)}
    read, facts = read_tensors(tmp_path / "w.safetensors")
    assert facts == header.facts == {"facts": "{}"}
    assert all(torch.equal(read[name], tensor) and read[name].dtype == tensor.dtype for name, tensor in tensors.items())


@pytest.mark.parametrize(
    "content", [b" " * 5_000_000, b"\n" * 5_000_000, b"mtllib " + b" x" * 2_500_000 + b" \t" * 99_999]
)
def test_megabytes_of_nothing_are_searched_for_materials_in_one_pass(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.obj"
    path.write_bytes(content)
    started = time.process_time()
    assert asset_files(path) == [path]
    assert time.process_time() - started < 5
