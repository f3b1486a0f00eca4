import base64
import os
import stat

import pytest

from gateway.errors import GatewayError
from gateway.keyfile import load_or_make

OLD, NEW = b"o" * 32, b"n" * 32


def test_a_missing_file_is_made_once_for_its_owner_alone(tmp_path):
    path = tmp_path / "keys"
    assert load_or_make(path, NEW) == (NEW,)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert load_or_make(path, OLD) == (NEW,)


@pytest.mark.point(61)
def test_a_rotated_file_opens_with_every_key_and_seals_with_the_first(tmp_path):
    path = tmp_path / "keys"
    path.write_bytes(base64.b64encode(NEW) + b"\n" + base64.b64encode(OLD) + b"\n")
    assert load_or_make(path, b"x" * 32) == (NEW, OLD)


@pytest.mark.parametrize("text", ["", "\n", "not base64!", base64.b64encode(b"short").decode()])
def test_a_file_that_makes_no_sense_is_named_and_left_alone(tmp_path, text):
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(GatewayError) as caught:
        load_or_make(path, NEW)
    assert str(path) in caught.value.message
    assert path.read_text() == text


def test_a_folder_that_is_not_there_is_an_error_that_names_the_file(tmp_path):
    with pytest.raises(GatewayError, match="nowhere"):
        load_or_make(tmp_path / "nowhere" / "keys", NEW)
