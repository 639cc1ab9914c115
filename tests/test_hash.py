"""Keys: one value, one key, in every process, on every Python, however it was put together."""

from __future__ import annotations

import array
import collections
import copy
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import glob
import importlib.util
import io
import ipaddress
import json
import marshal
import math
import operator
import os
import pathlib
import pickle
import re
import statistics
import struct
import subprocess
import sys
import textwrap
import threading
import types
import uuid
import zoneinfo
from pathlib import Path
from typing import Any, Callable

import key_corpus
import pytest
from hypothesis import given
from hypothesis import strategies as st
from key_corpus import Attributes, Color, Plain, Point, Slots, clique, ring
from strategies import VALUES

from redun_lite import Value, _digest, _hash, _names
from redun_lite._digest import flat_bytes, is_flat
from redun_lite._errors import HashError
from redun_lite._expr import key_of_expr
from redun_lite._hash import key_of, key_with_sources, register_encoder, source_of
from redun_lite._names import global_name

ROOT = Path(__file__).parent.parent
CORPUS = key_corpus.corpus()

PINNED = {
    "none": "d1be4f73c1aa7653a45c1f0d86f9085fcf213703",
    "true": "ad9b992f7245d62400a4082826b875c56c4e4663",
    "false": "7b7b1d3041ed3652cd04990c48b5a46b6d360962",
    "int 0": "90bc4dc8cc2f2ce31aaf20182093f5627aa28931",
    "int 1": "149e3ee76938cc6d41e1aa42c636e9e187011a3c",
    "int -1": "d77474e9e55fab4fa216ee7d10c3b74f29a4d7f2",
    "int 2147483647": "8008272a9f35211b67de1d9345ef36d034402c48",
    "int 2147483648": "f3d7b6b69b0ecef52d3dc257df537ffa547c4dca",
    "int -2147483649": "6cb2dfa518f026f9190041cad54384b7fb8ccfd1",
    "int 9223372036854775808": "3a79de7453bb929fc3f677bf3cb9fd8b2991c4ad",
    "int -18446744073709551616": "c997402179edf1a87a0594531d36b325e2d667c0",
    "int of 5000 digits": "8b670fa582130af0a6d5d80ed36cda066795bcbf",
    "float 0.0": "1c2fe6d5f76dd8bd23a0c3450033502c2c9c2111",
    "float -0.0": "5a830832c60728fdf7bab35eb0845ec00f52f26c",
    "float 1.0": "77eb4f4e0eb69b4c48c3cd3dfe5dc11bf6273fe9",
    "float -1.5": "11ef12d0886356425dfe1692f721b7d47b5fb991",
    "float 0.1": "0c7b88d196a062646b8127e1a7b3a0fa92cd7ea6",
    "float 5e-324": "cdfcc063f22cb01ed3960a0d55766799abd883a1",
    "float 1.7976931348623157e+308": "266e696719460c10b96f5d52975904818c4c9df4",
    "float 3.141592653589793": "c0d01f20cc224abffac2abec7d61e1350e101d47",
    "float inf": "e764d93dc180fcdd4f7b0a38e77577173d717d08",
    "float -inf": "cec99cad59f82f9e49b9e3cabed5ebf6a4d61f85",
    "float nan": "bb9510f591e8a9f8c7c402f0d83cd77e11acff0a",
    "float -nan": "bb9510f591e8a9f8c7c402f0d83cd77e11acff0a",
    "complex": "6332a15fcfccd70cd8224777a289efbafdb31b87",
    "complex nan": "3f71a5258119990e591a2ba25507c361ad056a99",
    "str empty": "b2fc4fdd65423d713a10cc001c0bd9a2b7121520",
    "str ascii": "b8a23bbc61b61b10b7b4ae3c7f88c5b4c6345c77",
    "str latin": "83c8b195e55ae4a3840c7fea69cee25e3ad6a8b3",
    "str wide": "1201765197836012b86867e2a207c27eaa32c1bf",
    "str astral": "c44b0e7b63c51e07f546fc2d520b1e4c5c79ca4a",
    "str surrogate": "abd0e74fd313d47301db177c02e93b84e996a87c",
    "str nul": "f8fb1b78201b845433b885d9e279353780eb4c69",
    "str long": "5237ca0ab40bc39ee1ec7e28924343d88f0a1724",
    "bytes empty": "fc14a5fb55a4357e29e8b3ceeaac08ff5b600ec7",
    "bytes": "043798261dd4ce3357f5d987290cee5ef049278d",
    "list empty": "de583b271c2b9e30e09398e2ef434d31ba117365",
    "tuple empty": "ab1f2f1323ecbc85690ad6cab647bb8f85a1a84f",
    "dict empty": "338b53bb5d4a79bb15e2d26ed993e09a2a88f301",
    "set empty": "73b3a435f06dd515f65e67aa194f168e92df07d8",
    "frozenset empty": "b6d2508d51a9505bf7315cbe07561f24982ace20",
    "list flat": "5e01ca919d6411aad034baf48716313e6680c6b1",
    "list with nans": "62d42ef8c996855828c1b4f089508468c050a1b1",
    "tuple flat": "6fd76b636fa1fa0b85f7675aff931e3b5fb6d881",
    "tuple long": "ca78f908278a07f08751075a26d5635984108730",
    "dict flat": "441fdcc5029991779b1d46acab11145aa3798779",
    "dict other order": "e676005e576e23a0d7779548080eb5ec341b0fcd",
    "list nested": "ea9929c33652d3d29d07f821834de933feb02327",
    "dict nested": "0991eb48971487200dcca6a93a170411b3db369f",
    "dict of tuples": "c0d7e61d5c513ed3794b43ef78e5fb27cbb2248c",
    "dict of frozensets": "3fde69cb55f66947386706250538eddd8d5e311c",
    "set of strings": "d5248e3a12b977a545a3c73e69fbefb0ac4d588b",
    "set mixed": "8a3f167114554528cee9c106beb9a80025a923ac",
    "frozenset": "50e6eb8a4509b7f9a80da2e261c7233a80cdb91b",
    "set of frozensets": "c572bae95c18733563391dcbb1cb9c207b371da6",
    "set of tuples": "052bc0e2bccbe0167006a6cac967655283e1b692",
    "set of enums": "9b04ea1b6553932d1efc2b95f706cbe5e1f698e6",
    "set of points": "297711f853b2f35ba49a8b8c28c18645e629ecf1",
    "deep": "14d6ea9e2a81f2b388910e2ec54c4be300442fcc",
    "shared": "6d9e104d9ecfe5a4f5713e4621dc5b961622e3b8",
    "cyclic list": "63a0579455ed9673500230e2ec952fcdd388ac4d",
    "cyclic beside others": "e1e33cccb5c730e4a69df8c8953de11aa51dbdbb",
    "ring": "2eb6d2788087eea3eda46bb660d55713d9428af7",
    "tree with parents": "cf2d5cf2f9e8f497b52ef4505b6e88b12d74ff55",
    "clique": "6abebf98f23d3460896bd102b3c2a763975a2e0a",
    "namedtuple": "72d4038d114dface2ac9bfad0327332cf4ab692d",
    "namedtuple nested": "44d765100291a2ef1cb5b23a99e0d5129f9470f6",
    "namedtuple with attributes": "fa5262887ec8e99bfee1edf68c2217f438243e0d",
    "dataclass": "908cd3cc324a0ee3e289e987a76e8a3678e54af1",
    "dataclass nested": "50ddfb9d90b2da2b41161654e3a73c50cc67fb3d",
    "dataclass frozen": "2383aa0ca7ff18133eea21d55328151ff22b7116",
    "dataclass slotted": "732adeaa6966a56210c8116a59acdf0df9ecc386",
    "dataclass with a field set later": "a89e242d24477bd5cbba9cd42c0dfc13721efbc9",
    "dataclass slots": "ce066b1e86eaeed44ac534a92ecafa1200de4cb8",
    "dataclass frozen slots": "94b91823910a169d53dc7bf69caacb7576a93a27",
    "enum": "87e22c522e53005167cef31daf137da73041bd79",
    "enum alias": "87e22c522e53005167cef31daf137da73041bd79",
    "enum of str": "08a2d9f4312805cebdb06a65b0d309358fb92d6b",
    "enum of int": "5bb3ca1524eac2d44938598db621f3b4cf0d97af",
    "flag": "be44354267c597b13fad83059042ef62a6090eb7",
    "flag combined": "e5ac773f14d6853457fa162db4e0212a8e273d98",
    "flag none": "ae447bb3098cb097402af04570d517dc2edc7ca1",
    "int flag combined": "74afed05c0ee1003298ac0160224b76c685f9fbb",
    "int flag unknown": "1291d90701902665c9b3725265face816f520223",
    "datetime": "3c0f95833c4e6cba6f1dff80c38aad177cae8d51",
    "datetime utc": "84b4df781a8491c8f1a694c114e65d67af6070c1",
    "datetime zone": "3caa1ccbe2e204b48d4e1472874863ebb61f6351",
    "datetime fold": "20a5370940f16d9c61f636a536a5b297287766eb",
    "date": "ea6fc026e8c3fd645411d1026d2cef5f3baaecb8",
    "time": "008eea9489b95fc40ca6a385d5d0acfdd9843122",
    "timedelta": "45be0cf323e5e0666bf7eba7d13039a176b6eb63",
    "timezone": "822e8af988f92b2c6e9518ac6e61d2d4b40171c2",
    "zoneinfo": "4cf12c234bd3d3a43ba4afb92d71aaaf0aceb695",
    "datetime zoneinfo": "f08b9829df71b45bf49be9619e04c47a2a3fd262",
    "decimal": "94144d6aff0dfc9ab32ea304228997f6ce6a71c7",
    "decimal nan": "3138a542645fafed9833b90479d2d956b8113a67",
    "fraction": "825e2fdd7a06daf40f84cf7c7a10a6a336fc2fc9",
    "uuid": "6329acf9560db87fe54b12b8e38f7d8c7e339f8c",
    "ip address": "068b7fbaeba6daf2caa9b282880356fe8b03d060",
    "pure path": "c24666f2008d00ebb9084249e2d94df61318f0c8",
    "windows path": "74536174df5c7642c946d0a9d7bf030425232e68",
    "path": "8e3fea1ab63cc0c71389219cfaaf4b2e0a726625",
    "range": "1294951751e8a4734b10880f54129c84150fbd77",
    "slice": "5328f29526b70c55833b08271debb13b5851a86e",
    "ellipsis": "f54fe451967bd3dd151ee279c1aeabf3e2d95cf4",
    "ordered dict": "660ebacfbb554cfbd736aa57a92b927e0a80d20e",
    "default dict": "96913b9e8a329d1abc714b3a8a3898a0ae6d0bca",
    "counter": "6ba2514618f98fa4a6c298f99cb9d2b2366596a0",
    "deque": "1ff621a9f1f4df40ec972e54d0e281de0397e2a6",
    "deque bounded": "1fc6755bcd77a91c2d7fb922c13d7bc7e28c5185",
    "chain map": "f014f532a9ee55cfab2f3463f66acaa6220d0383",
    "user dict": "6a28a02f57c554705eee76d909933e660aac551c",
    "bytearray": "406347b3544a353cd1440d8b2f9687242a6e761f",
    "array": "b0d8dc99f918831513dc9a4ba422c1d13b23be69",
    "array of bytes": "2cfa43b18edfe4144435c0c56be369adf4c2122c",
    "simple namespace": "14504ce486e2ded92a162cad953ece48fe1368a0",
    "pattern": "460084da01129297ac545e9dc34b97256f77a265",
    "generic alias": "a7cc6b06faf0aa9a1fda9cfddc5866782844330a",
    "module": "1075fcd15a9c1c60056e9c702c257da941c2c41a",
    "exception": "177b626a2b25e157ec5f4a8ed5726d984e2d4fed",
    "exception bare": "9d68b29d5308ebb23112fd807c95061c387fd7a8",
    "os error": "d6343e850e099abc61d21aff211e2d0126c6e301",
    "attribute error": "dec6fc8a059fa3b8e3aebc0275b73e5c48d21a16",
    "exception of a user": "7cd6c6a0d8ea584a8e24afca5829bf57a9741bf0",
    "exception with attributes": "d476ddc4fc6fd5008e8bed0039100ff5c3f8c990",
    "exception of the engine": "cfe6ab1c4ffdee577d2245fec2ecab65b4d2eaa4",
    "object": "b0f9d6e81aa5b69eed17774544ac9959b346c142",
    "object, attributes in other order": "b0f9d6e81aa5b69eed17774544ac9959b346c142",
    "object without attributes": "5562725c8b0cbf1fea56ac3a00bc778977e2c498",
    "object with slots": "002610e012ebf986d50a44177c2ba309046ca16a",
    "object with slots and attributes": "bd7c42168187500bb7175e74a5f65656b0081b64",
    "object with slots and no attributes": "34474dc21ecf42feebd66f5c000777d8c0d1a3bd",
    "object with private slots": "ecaf7ccf184c2b6666209388ce3e44fbcc791836",
    "object with __getstate__": "80d3eefdf8747651525f91ae217c2551591d94e1",
    "object with __reduce__": "0a296f5f8bb267cfda3a962edd52fcefcfb94921",
    "object rebuilt by a function": "34618e627e2bb55559713409142fc66f6f8c9b98",
    "object with __getnewargs__": "0311e39055784d3ac92d35c20cf07bd5d864cb69",
    "object with a cached property": "ce7ca002f60f953e372972acbf94f1fdec56d412",
    "object with a cached property in use": "ce7ca002f60f953e372972acbf94f1fdec56d412",
    "object generic": "2421b8b3475199e4095cd9dc504ad66f1f8b9fc4",
    "int subclass": "23e539cf44b09ee2bbc29d9c4a0bc58af61a0b22",
    "int subclass with attributes": "2b4753eefe06c24a95ed663109d5a8e6142e681a",
    "str subclass": "dffd19f67bf85a1d078341bc2873f1c83bb937d5",
    "float subclass": "a759e319f78c1c49018e98f8deb0c7704d832afe",
    "tuple subclass": "474979c69ceb4a58f09bef2911db240b009f7dd4",
    "list subclass": "0114ea1dd07cb425134f9b213aef87d04d8ccc75",
    "dict subclass": "1ad7d7cc839a4b41725c371ed05e9551d59ac214",
    "set subclass": "b7dcd452336d8f1f5b452778682a1b1048c38023",
    "set subclass with attributes": "f43467276d4127360f17efee00e652fed56f3064",
    "value": "52bb08a68c017b59e4afa7421ca661b7885a3b67",
    "value with a key": "42c2d500c3ee666aa775dc268083d3d4bf8579d8",
    "values nested": "820a2327468259447371a9005e85f5c19b42b585",
    "function": "1dac5e09e64c755dc8738cda02bc589f85cc38a3",
    "function async": "1fead7c632666a451db6bd2e8838998174e6f746",
    "function of the standard library": "e30d1861ea0163c18a5d0f76569793666d74f22b",
    "function remembered": "81defa6df7dcd4e80cf9e10852ddbe2d25c2d55e",
    "function that is wrapped": "5f1e0a191f215098d970a770929c3601b2a14c3c",
    "function that wraps another": "f11691e30afd81df7802e54f296816dfcdc78ce7",
    "function that wraps another otherwise": "e5d906f9db970d8a21214e577e9587174e0c8222",
    "function of a module of the standard library": "1315987faee287f07cb30c888173527a32619546",
    "function of a frozen module": "597eb1a8faea73ad5a2cd6cd2adcfe03343e509e",
    "function static": "cf889b20f277770766dbb2b5ff43c04601acf7dd",
    "function local": "a4f00ee48b7617519bffe096e49909c5c0655705",
    "lambda": "97b6be48aef20c537f14d7ba4298142dc35a6f6c",
    "lambda over lines": "93e4c5f218f391975d76785558a0946d98f86646",
    "builtin": "daf8465e40fca2cac700a39e65603e1f9fcbf4a5",
    "builtin of a module": "5e9b4d845e39217272fc1d6de7d38b4535ac9890",
    "method of an object": "f339e336e7b5b34da5bab73f7ea3b101517e6922",
    "method of a class": "1fe26d4bb48d135a2b97a01e92f66cc79c77b046",
    "method of a builtin": "90574789b0a9f2bebcd3464fcff341b82891a73a",
    "method of a builtin class": "b76846b2337c06228ec36b8d6da868d6c9972e65",
    "method unbound": "8c540ae6392ab81bc18c39c56b23efdbb3526a33",
    "partial": "1bd73e48d34f139aefd2c8fc745c3f6ba1e2a7c4",
    "partial of a method": "7fa580b2f4a4124f351e75b0d73a8da073c4f65a",
    "partial bare": "c243b6cceb8289ca1144f33e2a476f28ea4e9a07",
    "methodcaller": "e7ffa543418bdbc188bfc961cb8dff83124b00a3",
    "itemgetter": "6ec25f851c7c30eabe85b2f2edf84f6b0b7972dc",
    "class": "6f16d851862b43944bfe182a9d6a2b9258b17235",
    "class inner": "e845bc8cc5748a7f4dd2dc3ec418295798d06172",
    "class with a metaclass": "639fdfd4c270b5d5ba11d67fe7c7483c536f9ae9",
    "class local": "83a7424ad4dfbe82ec7c2fc8c6186508df0f15e5",
    "class builtin": "9c2def24b6064421b81e40a314f9a70ceb9f2f95",
    "class of none": "d70a2e5a599372a9e9165686da6cfe382784d127",
    "class of the package": "e04c1ce6dec03b1095f6a5f86a96a5af13ed54fd",
    "class on some Pythons only": "43689b5f1509913df8b22d2c1a9d034cd0af12c4",
    "call": "2c31337a956dcf176a63e0af9e05067d17f68a43",
    "call with options": "26c38b0cbae5103855964534e866a0cef17d5567",
    "operator": "61c62ae8b749c1159e1472ad684d2ae5b8242516",
    "item": "3f9a9f53b59faac2617d9697d1c6d506bd05b79c",
    "value expression": "93799ac0f48316eecb4a9fbb391b44226b24eba9",
    "calls nested": "0d976e26ae6ad2ffed1ac7fd18f1c22d1753fd1c",
    "calls in a set": "fe31f6da66202acb6ee4fb49038bec6462705ef0",
    "calls in a dataclass": "970bac269022f326e3e53c24d329791c0e97f046",
    "call of values": "d4b80fd170404a89f258050cb92382285e2acc77",
    "call in an object": "ca7f5bd00d3402e5e8f0c4c7916e16cae2be6eab",
    "call shared": "e3d650ec274ad444cb58b061b18adc688831da38",
    "call deep": "e2398b9957cbf1b2082da3506c9ee5c2ed16a6f1",
}


def corpus_keys(python: str, **environment: str) -> dict[str, str]:
    """Return the keys that another interpreter gives the corpus."""
    done = subprocess.run(
        [python, "-c", "import key_corpus; key_corpus.main()"],
        env={"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]), **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    keys: dict[str, str] = json.loads(done.stdout)
    return keys


def pyenv_python(version: str) -> str:
    root = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    found = sorted(glob.glob(f"{root}/versions/{version}.*/bin/python"))
    if not found:
        pytest.skip(f"no Python {version} below {root}/versions")
    return found[-1]


# One value, one key


@pytest.mark.parametrize("name", CORPUS)
def test_a_value_has_the_key_that_it_has_always_had(name):
    assert key_of_expr(CORPUS[name]).hex() == PINNED[name]


@pytest.mark.parametrize("seed", ["0", "1", "random"])
def test_keys_are_the_same_under_every_hash_seed(seed):
    found = corpus_keys(sys.executable, PYTHONHASHSEED=seed)
    assert found == {name: PINNED[name] for name in found}


@pytest.mark.parametrize("version", ["3.9", "3.10", "3.11", "3.12", "3.13"])
def test_keys_are_the_same_on_every_python(version):
    found = corpus_keys(pyenv_python(version))
    assert found == {name: PINNED[name] for name in found}
    assert len(found) > 150


def test_values_of_the_corpus_differ_in_their_keys_unless_they_are_equal():
    same = collections.defaultdict(set)
    for name, key in PINNED.items():
        same[key].add(name)
    assert [names for names in same.values() if len(names) > 1] == [
        {"float nan", "float -nan"},
        {"enum", "enum alias"},
        {"object", "object, attributes in other order"},
        {"object with a cached property", "object with a cached property in use"},
    ]


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (None, b"N"),
        (True, b"T"),
        (1, b"i\1\0\0\0"),
        (2**40, b"l\3\0\0\0\0\0\0\0\0\4"),
        (-0.0, b"g\0\0\0\0\0\0\0\x80"),
        ("é", b"u\2\0\0\0\xc3\xa9"),
        (b"a", b"s\1\0\0\0a"),
        ((1, "a"), b"(\2\0\0\0i\1\0\0\0u\1\0\0\0a"),
        ([None], b"[\1\0\0\0N"),
        ({"a": False}, b"{u\1\0\0\0aF0"),
    ],
)
def test_the_canonical_bytes_of_a_flat_value_are_those_of_marshal(value, data):
    assert flat_bytes(value) == data


def test_only_lists_tuples_and_dicts_of_atoms_are_flat():
    assert all(map(is_flat, [1, "a", 1j, [], (1, None), {"a": b"b"}]))
    assert not any(map(is_flat, [{1}, [[]], ({},), {"a": []}, {(): 1}, Color.RED, bytearray()]))
    assert not any(map(is_flat, [key_corpus.MyInt(1), [key_corpus.MyStr("a")], Point(1, 2)]))


# Generated values


def remade(value: Any) -> Any:
    """Return an equal value that shares nothing with it, its sets filled in another order."""
    if isinstance(value, (str, bytes)):
        return value[:0].join([value[:1], value[1:]]) if len(value) > 1 else value
    if type(value) in (set, frozenset):
        made = set()
        others = [object() for _ in range(200)]
        made.update(others)  # A larger table keeps the members in another order.
        made.update(remade(member) for member in sorted(value, key=repr, reverse=True))
        made.difference_update(others)
        return type(value)(made) if type(value) is frozenset else made
    if type(value) in (list, tuple, collections.deque):
        return type(value)(map(remade, value))
    if isinstance(value, tuple):
        return type(value)(*map(remade, value))
    if isinstance(value, dict):
        return {remade(key): remade(part) for key, part in value.items()}
    if isinstance(value, Attributes):
        return Attributes(**{name: remade(part) for name, part in reversed(vars(value).items())})
    if isinstance(value, Slots):
        return Slots(remade(value.one))
    if dataclasses.is_dataclass(value):
        return type(value)(remade(value.a), remade(value.b))
    return value


@given(VALUES)
def test_a_value_made_again_in_another_way_has_the_same_key(value):
    assert key_of(remade(value)) == key_of(value)


@given(VALUES)
def test_a_value_has_the_same_key_after_a_journey_through_pickle(value):
    assert key_of(pickle.loads(pickle.dumps(value))) == key_of(value)


@given(VALUES)
def test_sharing_a_part_does_not_change_a_key(value):
    assert key_of([value, {"k": (value,)}]) == key_of([value, {"k": (remade(value),)}])


@given(VALUES)
def test_to_compute_a_key_changes_nothing(value):
    before = pickle.dumps(value)
    key_of(value)
    assert pickle.dumps(value) == before


def shape(value: Any) -> Any:
    """Return what a value is, as tuples of strings: equal for the same value only."""
    if isinstance(value, float):
        return ("float", "nan" if math.isnan(value) else repr(value))
    if isinstance(value, complex):
        return ("complex", shape(value.real), shape(value.imag))
    name = type(value).__name__
    if isinstance(value, (set, frozenset)):
        return (name, *sorted(map(shape, value), key=repr))
    if isinstance(value, (list, tuple, collections.deque)):
        return (name, *map(shape, value))
    if isinstance(value, dict):
        return (name, *((shape(key), shape(part)) for key, part in value.items()))
    if isinstance(value, Slots):
        return (name, shape(value.one))
    if hasattr(value, "__dict__"):
        return (name, *((key, shape(vars(value)[key])) for key in sorted(vars(value))))
    return (name, repr(value))


@given(VALUES, VALUES)
def test_values_with_the_same_key_are_the_same(first, second):
    assert (key_of(first) == key_of(second)) == (shape(first) == shape(second))


UNCOPIED = "exception with attributes"  # By Python, which gives its class too little.
EQUAL = {"float -nan", "enum alias", "object, attributes in other order"}
EQUAL.add("object with a cached property in use")
LEAVES = sorted(CORPUS.keys() - EQUAL - {name for name, _ in key_corpus.expressions()})
CONTAINERS: dict[str, Callable[[list[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "deque": collections.deque,
    "exception": lambda parts: ValueError(*parts),
    "partial": lambda parts: functools.partial(len, *parts),
    "object": lambda parts: Plain(parts[0], parts[1:]),
    "attributes": lambda parts: Attributes(**{f"a{i}": part for i, part in enumerate(parts)}),
    "ordered dict": lambda parts: collections.OrderedDict(enumerate(parts)),
    "dict": lambda parts: dict(enumerate(parts)),
}
OUTLINES = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.tuples(
        st.sampled_from(sorted(CONTAINERS)), st.lists(inner, min_size=1, max_size=3)
    ),
    max_leaves=4,
)


@pytest.mark.parametrize("name", sorted(set(LEAVES) - key_corpus.UNSTORED - {UNCOPIED}))
def test_a_copy_has_the_key_of_the_original(name):
    assert key_of(copy.deepcopy(CORPUS[name])) == key_of(CORPUS[name])


def built(outline: Any) -> Any:
    """Return the value of an outline: a name in the corpus, or a container and what is in it."""
    if isinstance(outline, str):
        return CORPUS[outline]
    kind, inner = outline
    return CONTAINERS[kind](list(map(built, inner)))


@given(OUTLINES, OUTLINES)
def test_values_of_the_corpus_with_the_same_key_were_built_alike(first, second):
    assert (key_of(built(first)) == key_of(built(second))) == (first == second)


@pytest.mark.parametrize(
    "values",
    [
        [1, True, 1.0, 1 + 0j, "1", b"1", key_corpus.MyInt(1), key_corpus.Level.LOW],
        ["ab", b"ab", bytearray(b"ab"), key_corpus.MyStr("ab"), ["a", "b"], ("a", "b")],
        [[], (), {}, set(), frozenset(), "", b"", None, False, 0, 0.0, -0.0],
        [[1, [2]], [[1], 2], [[1, 2]], [1, 2], [[[1, 2]]], [1, (2,)]],
        [{"a": 1, "b": 2}, {"b": 2, "a": 1}, [("a", 1), ("b", 2)], {"a": 2, "b": 1}],
        [Point(1, 2), (1, 2), key_corpus.Pair(1, 2), {"x": 1, "y": 2}],
        [Plain(1), Plain(1, 3), key_corpus.Frozen(1, 2), Attributes(a=1, b=2)],
        [Color.RED, Color.GREEN, Color, "RED", 1],
        [ring(2), ring(3), ring(4)],
    ],
)
def test_values_that_differ_in_type_or_arrangement_have_keys_of_their_own(values):
    assert len(set(map(key_of, values))) == len(values)


def test_a_set_has_one_key_whatever_its_order():
    forwards, backwards = set(), set()
    forwards.update(f"{i}" for i in range(1000))
    backwards.update(f"{i}" for i in reversed(range(1000)))
    assert list(forwards) != list(backwards) or sys.flags.hash_randomization == 0
    assert key_of([forwards]) == key_of([backwards])


def test_the_sign_of_a_nan_is_not_part_of_a_key():
    assert key_of([-math.nan, {"a": -math.nan}, complex(1, -math.nan)]) == key_of(
        [math.nan, {"a": math.nan}, complex(1, math.nan)]
    )


def test_bytes_that_look_like_a_negative_nan_stay_what_they_are():
    data = marshal.dumps(-math.nan, 2)
    assert key_of([data, -math.nan]) != key_of([marshal.dumps(math.nan, 2), -math.nan])


def test_an_atom_that_marshal_refuses_has_a_key(monkeypatch):
    """It refuses those of more than 2 GiB, which is more than a test may ask for."""

    class Refusing:
        @staticmethod
        def dumps(value: Any, version: int) -> bytes:
            raise ValueError("unmarshallable object")

    monkeypatch.setattr(_digest, "marshal", Refusing)
    values = [1, -1, 255, 256, "a", b"a", "\ud800", [1], [1, "a"], {"a": 1}]
    assert len(set(map(key_of, values))) == len(values)


# Subclasses of what has an encoder of its own


def array_of_numbers() -> Any:
    return pytest.importorskip("numpy").ndarray


SUBCLASSED: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "int": (int, (1,)),
    "float": (float, (1.5,)),
    "complex": (complex, (1, 2)),
    "str": (str, ("a",)),
    "bytes": (bytes, (b"a",)),
    "bytearray": (bytearray, (b"a",)),
    "tuple": (tuple, ([1, 2],)),
    "list": (list, ([1, 2],)),
    "dict": (dict, ({"a": 1},)),
    "set": (set, ({1, 2},)),
    "frozenset": (frozenset, ({1, 2},)),
    "namedtuple": (Point, (1, 2)),
    "dataclass": (Plain, (1,)),
    "dataclass with slots": (key_corpus.Slotted, (1, 2)),
    "object": (object, ()),
    "object with __getstate__": (key_corpus.BareState, (1,)),
    "object with __reduce__": (key_corpus.BareReduced, (1,)),
    "simple namespace": (types.SimpleNamespace, ()),
    "partial": (functools.partial, (len,)),
    "path": (type(Path()), ("a",)),
    "pure path": (pathlib.PureWindowsPath, ("a",)),
    "date": (datetime.date, (2024, 2, 29)),
    "datetime": (datetime.datetime, (2024, 2, 29)),
    "time": (datetime.time, (1,)),
    "timedelta": (datetime.timedelta, (1,)),
    "tzinfo": (datetime.tzinfo, ()),
    "zoneinfo": (zoneinfo.ZoneInfo, ("UTC",)),
    "decimal": (decimal.Decimal, ("1.1",)),
    "fraction": (fractions.Fraction, (1, 2)),
    "uuid": (uuid.UUID, ("0" * 32,)),
    "ip address": (ipaddress.IPv4Address, ("10.0.0.1",)),
    "ordered dict": (collections.OrderedDict, ({"a": 1},)),
    "default dict": (collections.defaultdict, (list, {"a": 1})),
    "counter": (collections.Counter, ("aab",)),
    "deque": (collections.deque, ([1, 2], 3)),
    "chain map": (collections.ChainMap, ({"a": 1},)),
    "user list": (collections.UserList, ([1],)),
    "array": (array.array, ("b", [1])),
    "bytes in memory": (io.BytesIO, (b"a",)),
    "text in memory": (io.StringIO, ("a",)),
    "exception": (ValueError, ("a",)),
    "os error": (OSError, (2, "a", "b")),
    "import error": (ImportError, ("a",)),
    "normal distribution": (statistics.NormalDist, (1, 2)),
    "numpy array": (array_of_numbers, (1, "i8", bytes(8))),
}


def tagged(name: str, tag: Any, body: dict[str, Any]) -> Any:
    """Return an instance of a subclass, with an attribute that the base knows nothing of."""
    base, args = SUBCLASSED[name]
    base = base() if base is array_of_numbers else base
    made = type("Sub", (base,), {"__module__": __name__, **body})(*args)
    object.__setattr__(made, "tag", tag)  # Some classes refuse to be changed.
    return made


@pytest.mark.parametrize("name", SUBCLASSED)
def test_an_attribute_that_a_subclass_adds_is_part_of_the_key(name):
    one, again, two = (tagged(name, tag, {}) for tag in ({"a", "b"}, {"b", "a"}, {"c"}))
    assert key_of(one) == key_of(again) != key_of(two)
    with pytest.raises(HashError, match=r"tag.*: cannot make a key of _?lock"):
        key_of(tagged(name, threading.Lock(), {}))


@pytest.mark.parametrize("name", SUBCLASSED)
def test_a_slot_that_a_subclass_adds_is_part_of_the_key(name):
    try:
        one, again, two = (tagged(name, tag, {"__slots__": ("tag",)}) for tag in (1, 1, 2))
    except TypeError:
        pytest.skip("instances vary in size, so there is no room for slots")
    assert key_of(one) == key_of(again) != key_of(two)


# Values that lead back to themselves


def renamed(size: int, order: list[int]) -> Any:
    """Return a clique whose nodes were made, and stand in each other's sets, in a given order."""
    nodes = {i: Attributes(number=i) for i in order}
    for node in nodes.values():
        node.others = {other for other in nodes.values() if other is not node}
    return [nodes[i] for i in range(size)]


@given(st.permutations(range(6)))
def test_a_graph_of_objects_has_one_key_whatever_the_order_of_its_sets(order):
    assert key_of(renamed(6, order)) == key_of(clique(6))


def test_a_densely_connected_graph_takes_no_exponential_time():
    assert key_of(clique(40)) != key_of(clique(39))


def test_a_cycle_has_the_same_key_wherever_equal_parts_are_shared():
    def pair(shared: bool) -> Any:
        name = ("a", ["b"])
        first = Attributes(name=name)
        first.other = Attributes(name=name if shared else copy.deepcopy(name), other=first)
        return first

    assert key_of(pair(shared=True)) == key_of(pair(shared=False))


def test_the_places_of_a_cycle_differ():
    start = ring(3)
    assert key_of(start) != key_of(start.following) != key_of(start.following.following)


def test_rings_of_equal_parts_cannot_be_told_apart():
    def equal_ring(size: int) -> Any:
        nodes = [Attributes() for _ in range(size)]
        for node, following in zip(nodes, nodes[1:] + nodes[:1]):
            node.following = following
        return nodes[0]

    assert key_of(equal_ring(2)) == key_of(equal_ring(5))


def test_what_lies_far_away_in_a_cycle_is_part_of_the_key():
    def chain(last: str) -> Any:
        nodes = [Attributes(name="same") for _ in range(20)]
        for node, following in zip(nodes, nodes[1:]):
            node.following, following.before = following, node
        nodes[-1].name = last
        return nodes[0]

    assert key_of(chain("x")) == key_of(chain("x")) != key_of(chain("y"))


def test_a_value_with_a_key_of_its_own_may_stand_in_a_cycle():
    class Named(Value):
        def __init__(self, name: str, around: Any) -> None:
            self.name = name
            self.around = around

        def get_hash(self, data: bytes | None = None) -> str:
            return self.name

    def around(name: str) -> Any:
        value: list[Any] = []
        value.append(Named(name, value))
        return value

    assert key_of(around("a")) == key_of(around("a")) != key_of(around("b"))


# Values without a key


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (threading.Lock(), ""),
        ([1, threading.Lock()], "[1]"),
        ({"pool": [threading.Lock()]}, "['pool'][0]"),
        ({(1, Color): {"a": (i for i in ())}}, f"[{(1, Color)!r}]['a']"),
        (Plain({"x": Point(1, threading.Lock())}), ".a['x'].y"),
        ({frozenset({open})}, None),
        ({threading.Lock()}, "{…}"),
        (Slots([threading.local()]), ".one[0]"),
        (Attributes(handle=memoryview(b"")), ".handle"),
        (key_corpus.MyList([0, threading.Lock()]), "[1]"),
        (key_corpus.MyDict(a=threading.Lock()), "['a']"),
        (ValueError("wrong", threading.Lock()), ".args[1]"),
        (key_corpus.Reduced(threading.Lock()), ".__reduce__ of Reduced[0]"),
        (key_corpus.Stateful([threading.Lock()]), ".__reduce__ of Stateful['kept'][0]"),
    ],
)
def test_a_part_without_a_key_is_named_by_its_path(value, path):
    if path is None:
        key_of(value)
        return
    with pytest.raises(HashError) as caught:
        key_of(value)
    assert caught.value.path == path
    assert re.search(
        "cannot make a key of (_?lock|generator|_local|_thread._local|local|memoryview)",
        caught.value.reason,
    )


def test_an_error_in_the_hooks_of_a_class_is_told_with_its_cause():
    class Broken(Value):
        def get_hash(self, data: bytes | None = None) -> str:
            raise OSError("the disk is gone")

    with pytest.raises(HashError, match=r"^\[1\]: cannot make a key of Broken: OSError: the disk"):
        key_of([1, Broken()])
    with pytest.raises(HashError) as caught:
        key_of({"a": [Broken()]})
    assert isinstance(caught.value.__cause__, OSError)


def test_values_differ_by_all_that_pickle_keeps_of_them():
    class Kept:
        def __init__(self, state: Any) -> None:
            self.state = state

        def __getstate__(self) -> Any:
            return self.state

    states = [(0, {"a": 1}), (None, {"a": 1}), ({}, {"a": 1, "b": 2}), ({}, {"b": 2, "a": 1})]
    assert len({key_of(Kept(state)) for state in states}) == len(states)


def test_a_namedtuple_with_more_in_it_than_its_fields_has_a_key_of_its_own():
    class Longer(Point):
        def __new__(cls, *values: Any) -> Longer:
            return tuple.__new__(cls, values)

    assert len(set(map(key_of, [Longer(1, 2), Longer(1, 2, 3), Longer(1, 2, 4)]))) == 3


def test_an_attribute_that_hides_a_cached_property_is_part_of_the_key():
    class Fixed(key_corpus.Cached):
        square = 0

        def __init__(self, number: int) -> None:
            self.square = number

    assert key_of(Fixed(1)) != key_of(Fixed(2))


def test_a_missing_module_is_part_of_the_key_of_the_error():
    errors = [ImportError("missing", name=name, path=path) for name, path in ("ab", "ac", "bc")]
    assert len(set(map(key_of, errors))) == 3


def test_a_time_zone_that_was_read_from_a_stream_has_no_key():
    counts = (0, 0, 0, 0, 1, 4)
    data = b"TZif" + bytes(16) + struct.pack(">6l", *counts) + bytes(6) + b"UTC\0"
    with pytest.raises(HashError, match="cannot make a key of ZoneInfo: PicklingError"):
        key_of(zoneinfo.ZoneInfo.from_file(io.BytesIO(data), key="UTC"))


def test_paths_of_classes_with_the_same_name_have_keys_of_their_own():
    made = [type("Place", (type(Path()),), {"__module__": name})("a") for name in ("m", "n")]
    assert key_of(made[0]) != key_of(made[1])


def test_a_value_that_is_nested_too_deeply_is_an_error_that_says_so():
    value: Any = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(HashError, match="cannot make a key of list: it is nested too deeply"):
        key_of(value)
    while value:  # Python takes a deep list apart by recursion.
        value = value.pop()


# Functions and classes


@pytest.fixture
def module(tmp_path) -> Callable[[str], Any]:
    """Return a function that makes a module of source, each in a file of its own."""
    made = []

    def module(source: str) -> Any:
        path = tmp_path / f"source_{len(made)}.py"
        made.append(path)
        path.write_text(textwrap.dedent(source))
        spec = importlib.util.spec_from_file_location("source", path)
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        return loaded

    return module


def test_the_key_of_a_function_changes_with_its_code(module):
    one = module("def f(x):\n    return x + 1\n").f
    two = module("def f(x):\n    return x + 2\n").f
    assert key_of(one) != key_of(two)


@pytest.mark.parametrize(
    "source",
    [
        "\n\n\n# A comment above.\ndef f(x):\n    return x + 1\n",
        "def f(x):\n    return x + 1\n\n\n# A comment below.\nNEXT = 1\n",
        "def same(f):\n    return f\n\n@same\n@same\ndef f(x):\n    return x + 1\n",
        "same = lambda **_: lambda f: f\n\n@same(\n  a=1,\n)\n# Why.\ndef f(x):\n    return x + 1",
        "if True:\n    def f(x):\n        return x + 1\n",
        "def f(x):\n    return x + 1\n    # A comment at the end.\n",
    ],
)
def test_what_surrounds_a_function_does_not_change_its_source(module, source):
    assert source_of(module(source).f) == "def f(x):\n    return x + 1\n"


def test_a_string_that_starts_further_left_does_not_keep_a_function_indented(module):
    source = '''
    def same(f):
        return f

    if True:
        @same
        def f():
            text = """
    left
            """
            return text
    '''
    assert source_of(module(source).f).startswith("def f():\n    text")


def test_a_form_feed_in_a_string_does_not_shift_the_source(module):
    source = 'def same(f):\n    return f\n\n@same\ndef f():\n    return "a\\fb\x0cc"\n'
    assert source_of(module(source).f) == 'def f():\n    return "a\\fb\x0cc"\n'


def test_a_wrapped_function_has_the_source_of_what_it_wraps(module):
    source = """
    import functools

    def loud(f):
        @functools.wraps(f)
        def wrapper(*args):
            return f(*args)
        return wrapper

    @loud
    def f(x):
        return x
    """
    assert source_of(module(source).f) == "def f(x):\n    return x\n"


def test_what_a_decorator_makes_of_a_function_has_a_key_of_its_own():
    base = key_corpus.wrapped.__wrapped__
    made = [key_corpus.repeated(2)(base), key_corpus.repeated(3)(base)]
    assert all_differ(base, *made, key_corpus.repeated(3)(made[1]))
    assert key_of(made[1]) == key_of(key_corpus.wrapped)


DECORATED = """
import functools, threading

def guarded(times, lock=threading.Lock()):
    def decorate(base):
        @functools.wraps(base)
        def wrapper(*args):
            with lock:
                return [base(*args) for _ in range(times)]
        return wrapper
    return decorate

@guarded(2)
@guarded(3)
def f(x, unit="m"):
    return x
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("guarded(2)", "guarded(4)"),
        ("guarded(3)", "guarded(4)"),
        ("return x", "return -x"),
        ("in range(times)", "in range(times + 1)"),
        ('unit="m"', 'unit="s"'),
    ],
)
def test_the_key_of_a_decorated_function_changes_with_all_that_it_is_made_of(module, old, new):
    one, again, two = (module(text) for text in (DECORATED, DECORATED, DECORATED.replace(old, new)))
    assert key_of(one.f) == key_of(again.f) != key_of(two.f)


def test_a_default_that_follows_from_a_constant_is_part_of_the_key(module):
    source = "SIZE = {}\ndef f(x, size=SIZE, *, step=SIZE): return x\n"
    assert key_of(module(source.format(1)).f) != key_of(module(source.format(2)).f)


def test_an_attribute_of_a_function_is_part_of_the_key(module):
    source = "def f(x): return x\nf.unit = {!r}\n"
    assert key_of(module(source.format("m")).f) != key_of(module(source.format("s")).f)


def test_methods_differ_by_object_and_function(module):
    source = "class C:\n    def f(self): return {}\n    g = f\n"
    one, two = module(source.format(1)), module(source.format(2))
    objects = [one.C(), two.C(), one.C()]
    objects[2].x = 1
    assert all_differ(one.C.f, *[each.f for each in objects])
    assert key_of(one.C().f) == key_of(objects[0].f)
    assert all_differ(types.MethodType(one.C.f, 1), types.MethodType(two.C.f, 1))


def test_partial_functions_differ_by_all_they_hold():
    def partial(*args: Any, **kwargs: Any) -> Any:
        return functools.partial(key_corpus.function, *args, **kwargs)

    named = partial()
    named.name = "x"
    assert all_differ(
        named,
        partial(),
        partial(1),
        partial(x=1),
        partial(y=1),
        partial(partial),
        functools.partial(key_corpus.coroutine),
        key_corpus.function,
    )
    looked_at = partial()
    assert vars(looked_at) == {}
    assert key_of(looked_at) == key_of(partial())


def test_functions_of_the_operator_module_differ_by_what_they_get():
    operators = (operator.itemgetter, operator.attrgetter, operator.methodcaller)
    assert all_differ(*[make(*args) for make in operators for args in ("a", "b", ("a", "b"))])


def test_a_function_of_the_standard_library_is_known_by_its_name(monkeypatch):
    before = key_of(json.dumps)
    monkeypatch.setattr(json.dumps, "__code__", json.dump.__code__)
    assert key_of(json.dumps) == before


def test_what_the_standard_library_makes_of_a_function_changes_with_it(module):
    source = """
    import contextlib, functools

    @contextlib.contextmanager
    def f(x):
        yield x

    @functools.singledispatch
    def g(x):
        return x

    @g.register(int)
    def for_int(x):
        return x + 1
    """
    one, again, two, three = (
        module(text)
        for text in (
            source,
            source,
            source.replace("yield x", "yield -x"),
            source.replace("1", "2"),
        )
    )
    assert key_of(one.f) == key_of(again.f) != key_of(two.f)
    assert key_of(one.g) == key_of(again.g) != key_of(three.g)


@pytest.mark.parametrize(
    ("old", "new"), [("+ 1", "+ 2"), ("lambda x: x", "lambda x: (x)"), ("+ 3", "+ 4")]
)
def test_the_key_of_a_lambda_changes_with_all_of_its_lines(module, old, new):
    source = "made = [\n    lambda x: x\n    + 1,\n    dict(key=lambda x: (\n        x + 3)),\n]\n"
    one, again, two = (module(text).made for text in (source, source, source.replace(old, new)))
    assert key_of(one) == key_of(again) != key_of(two)


def test_a_lambda_does_not_depend_on_what_stands_around_it(module):
    one = module("made = [lambda x: x]\n").made[0]
    two = module("made = dict(a=1,\n    b=lambda x: x)\n").made["b"]
    assert source_of(one) == source_of(two) == "lambda x: x"


def test_local_functions_differ_by_what_they_have_taken_from_around_them():
    assert key_of(key_corpus.adder(1)) == key_of(key_corpus.adder(1))
    assert key_of(key_corpus.adder(1)) != key_of(key_corpus.adder(2))


def test_a_local_function_may_call_itself():
    def countdown(n: int) -> int:
        return countdown(n - 1) if n else 0

    assert key_of(countdown) == key_of(countdown)


def test_a_local_function_that_holds_a_lock_is_an_error_that_names_the_variable():
    lock = threading.Lock()

    def locked() -> None:
        with lock:
            pass

    with pytest.raises(HashError, match=r"^ around it: lock: cannot make a key of _?lock"):
        key_of(locked)


def test_local_classes_differ_by_what_they_have_taken_from_around_them():
    assert key_of(key_corpus.local_class(1)) == key_of(key_corpus.local_class(1))
    assert key_of(key_corpus.local_class(1)) != key_of(key_corpus.local_class(2))


def test_a_class_as_a_value_is_known_by_its_name(module):
    source = "class C:\n    size = {}\n"
    assert key_of(module(source.format(1)).C) == key_of(module(source.format(2)).C)


CLASSES = """
import dataclasses, enum, functools
from typing import NamedTuple

def twice(f):
    @functools.wraps(f)
    def wrapper(self):
        return f(self) * 2
    return wrapper

@functools.total_ordering
@dataclasses.dataclass
class C:
    size: int = 1

    class Inner:
        def f(self):
            return "inner"

    @twice
    def f(self):
        return super().__hash__()

    @property
    def area(self):
        return self.size ** 2

    @classmethod
    def g(cls):
        return lambda: cls

    def __lt__(self, other):
        return self.size < other.size

class Derived(C):
    pass

class Row(NamedTuple):
    a: int = 1

class Color(enum.Enum):
    RED = 1
"""


def executed(source: str) -> Any:
    made: dict[str, Any] = {"__name__": "executed"}
    exec(compile(source, "<string>", "exec", dont_inherit=True), made)
    return types.SimpleNamespace(**made)


def with_sources(made: Any) -> bytes:
    return key_with_sources([made, {"nested": (made,)}])


@pytest.mark.parametrize("has_source", [True, False])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("size: int = 1", "size: int = 2"),
        ('"inner"', '"inside"'),
        ("super().__hash__()", "super().__hash__() + 1"),
        ("self.size ** 2", "self.size ** 3"),
        ("lambda: cls", "lambda: cls()"),
        ("self.size < other", "self.size <= other"),
        ("f(self) * 2", "f(self) * 3"),
    ],
)
def test_where_sources_count_a_class_is_known_by_all_that_is_in_it(module, has_source, old, new):
    make = module if has_source else executed
    texts = (CLASSES, CLASSES, CLASSES.replace(old, new))
    one, again, two = (with_sources(make(text).C) for text in texts)
    assert one == again != two


def test_where_sources_count_classes_without_functions_do_too(module, monkeypatch):
    keys = {}
    for text in (
        CLASSES,
        CLASSES.replace("a: int = 1", "a: int = 2").replace("RED = 1", "RED = 2"),
    ):
        made = module(text)
        monkeypatch.setitem(sys.modules, "source", made)
        keys[text] = [with_sources(made.Row), with_sources(made.Color)]
    (row, color), (other_row, other_color) = keys.values()
    assert row != other_row
    assert color != other_color


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("@functools.total_ordering\n@dataclasses.dataclass\nclass C", "class C"),
        ("class Derived", "class Other:\n    pass\n\nclass Derived"),
    ],
)
def test_what_stands_around_a_class_is_no_part_of_its_source(module, old, new):
    one, two = module(CLASSES).C, module(CLASSES.replace(old, new)).C
    assert source_of(one) == source_of(two)
    assert source_of(one).startswith("class C:\n    size")


def test_the_source_of_a_class_holds_none_of_its_bases(module, monkeypatch):
    keys = set()
    for text in (CLASSES, CLASSES.replace("size: int = 1", "size: int = 2")):
        made = module(text)
        monkeypatch.setitem(sys.modules, "source", made)
        keys.add(with_sources(made.Derived))
    assert len(keys) == 1


def test_a_class_that_is_defined_in_two_ways_has_both_sources(module):
    source = (
        "if {}:\n    class C:\n        def f(self): pass\nelse:\n    class C:\n        f = len\n"
    )
    assert source_of(module(source.format(1)).C) == (
        "class C:\n    def f(self): pass\nclass C:\n    f = len\n"
    )


@pytest.mark.parametrize("cls", [int, Value, array.array, collections.Counter, json.JSONDecoder])
def test_classes_that_come_with_python_or_the_package_are_known_by_their_names(cls):
    assert key_with_sources([cls]) == key_of([cls])


def test_where_sources_count_an_object_is_still_known_by_its_class_and_state(module):
    one, two = (module(text).C(3) for text in (CLASSES, CLASSES.replace("self.size **", "2 **")))
    assert with_sources(one) == with_sources(two)
    assert key_with_sources([Point(1, {"a"})]) == key_of([Point(1, {"a"})])


def test_functions_made_in_a_loop_differ_by_their_defaults():
    def make() -> Any:
        return [lambda x, i=i: x + i for i in range(3)]

    assert len(set(map(key_of, make()))) == 3
    assert list(map(key_of, make())) == list(map(key_of, make()))


def test_lambdas_on_one_line_differ():
    first, second = (lambda x: x + 1), (lambda x: x + 2)
    assert key_of(first) != key_of(second)


def test_what_exec_is_given_has_not_the_source_of_the_program(tmp_path):
    program = """if True:
    from redun_lite._hash import key_of
    made = [{}, {}]
    exec("def f(x): return x + 1", made[0])
    exec("def f(x): return x + 2", made[1])
    print(key_of(made[0]["f"]) != key_of(made[1]["f"]))
    """
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "True\n"


def without_source(source: str) -> Any:
    made: dict[str, Any] = {}
    exec(source, made)
    return made["f"]


@pytest.mark.parametrize(
    "others",
    [
        ["def f(x): return x + 1", "def f(x): return x - 1", "def f(x): return x + 2"],
        ["def f(x): return x.a", "def f(x): return x.b"],
        ["def f(x): return [i + 1 for i in x]", "def f(x): return [i + 2 for i in x]"],
        ["def f(x): return lambda: x + 1", "def f(x): return lambda: x + 2"],
        ["def f(x): return x in {1, 2}", "def f(x): return x in {1, 3}"],
        ["def f(x): return x", "def f(*x): return x", "def f(*, x): return x"],
        ["def f(a, b): return a", "def f(b, a): return b"],
    ],
)
def test_functions_without_source_differ_by_their_byte_code(others):
    keys = [key_of(without_source(source)) for source in others]
    assert len(set(keys)) == len(others)
    assert keys == [key_of(without_source(source)) for source in others]


def test_a_function_without_source_has_the_same_key_under_every_hash_seed():
    program = (
        "from redun_lite._hash import key_of; made = {}; "
        'exec(\'def f(x): return x in {"a", "b", "c", "d"}\', made); '
        "print(key_of(made['f']).hex())"
    )
    keys = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in "123"
    }
    assert len(keys) == 1


def test_a_builtin_has_no_source():
    with pytest.raises(HashError, match="<built-in function len> has no source"):
        source_of(len)


def test_a_function_that_rebuilds_objects_is_part_of_their_key_by_name_only(module):
    source = """
    class C:
        def __reduce__(self):
            return (rebuild, (1,))

    def rebuild(x):
        return {}
    """
    one, two = module(source.format("x")), module(source.format("C()"))
    assert key_of(one.C()) == key_of(two.C())


@pytest.mark.parametrize(
    ("base", "first", "second", "member"),
    [
        ("Enum", "RED = 1; GREEN = 2", "RED = 2; GREEN = 1", "RED"),
        ("Enum", "RED = 1", "RED = {'shade': [1]}", "RED"),
        ("IntEnum", "LOW = 1; HIGH = 2", "LOW = 1; HIGH = 3", "HIGH"),
        ("Enum", "RED = 1", "ROT = 1; RED = ROT", "RED"),
        ("Flag", "READ = 1; WRITE = 2", "READ = 2; WRITE = 1", "READ"),
        ("Flag", "READ = 1; WRITE = 2; RUN = 4", "RUN = 1; WRITE = 2; READ = 4", "READ | E.RUN"),
        ("Flag", "READ = 1; RUN = 4", "WRITE = 1; RUN = 4", "RUN | E(1)"),
        ("IntFlag", "READ = 1; BOTH = 3", "READ = 1; ALL = 3", "READ | E(3)"),
    ],
)
def test_the_key_of_a_member_changes_with_its_name_and_its_value(
    module, base, first, second, member
):
    source = f"import enum\nclass E(enum.{base}):\n    {{}}\nMEMBER = E.{member}\n"
    one, again, two = (module(source.format(body)) for body in (first, first, second))
    assert key_of(one.MEMBER) == key_of(again.MEMBER) != key_of(two.MEMBER)


def test_members_that_are_added_leave_the_keys_of_others_alone(module):
    source = "import enum\nclass E(enum.Flag):\n    A = 1\n    C = 4\n"
    one, two = module(source), module(source + "    B = 2\n    AB = 3\n    ALSO_A = 1\n")
    assert key_of(one.E.A) == key_of(two.E.A)
    assert key_of(one.E.A | one.E.C) == key_of(two.E.A | two.E.C)


def test_a_member_whose_value_has_no_key_is_known_by_its_name():
    Guard = enum.Enum("Guard", {"FIRST": threading.Lock(), "SECOND": threading.Lock()})
    assert key_of(Guard.FIRST) == key_of(Guard.FIRST) != key_of(Guard.SECOND)


def test_classes_and_functions_of_the_package_are_named_as_if_it_were_installed(monkeypatch):
    monkeypatch.setattr(_names, "PACKAGE", "key_corpus")
    assert global_name(Plain) == "redun_lite:Plain"
    assert global_name(Value) == "redun_lite._value:Value"


# Encoders


@pytest.fixture
def encoders():
    """Forget the encoders that a test registers."""
    registered = dict(_hash._registered)
    yield
    _hash._registered.clear()
    _hash._registered.update(registered)
    register_encoder(object(), key_of)  # Drops what was chosen for classes.


@pytest.mark.usefixtures("encoders")
def test_a_class_may_be_given_an_encoder():
    class Vague:
        def __init__(self, number: float) -> None:
            self.number = number

    assert key_of(Vague(1.1)) != key_of(Vague(1.2))
    register_encoder(Vague, lambda _, value: b"@vague %d" % round(value.number))
    assert key_of([Vague(1.1)]) == key_of([Vague(1.2)])


@pytest.mark.usefixtures("encoders")
def test_an_encoder_holds_for_subclasses():
    register_encoder(Attributes, lambda parts, value: b"@names" + parts.key(sorted(vars(value))))

    class Sub(Attributes):
        pass

    assert key_of(Sub(a=1)) == key_of(Sub(a=2)) != key_of(Sub(b=1))


@pytest.mark.usefixtures("encoders")
def test_an_encoder_may_be_given_for_a_class_that_is_not_imported_yet():
    register_encoder("key_corpus.Attributes", lambda _, value: b"@any attributes")
    assert key_of(Attributes(a=1)) == key_of(Attributes(b=2))


# Numpy and pandas

UNIMPORTED = """
import pkgutil, sys
import redun_lite
for module in pkgutil.walk_packages(redun_lite.__path__, "redun_lite."):
    if not module.name.endswith("__main__") and ".contrib." not in module.name:
        __import__(module.name)
redun_lite._hash.key_of([object.__subclasses__, {1}])
print(sorted(sys.modules.keys() & {"numpy", "pandas"}))
"""


def test_numpy_and_pandas_are_not_imported():
    done = subprocess.run(
        [sys.executable, "-c", UNIMPORTED],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


def all_differ(*values: Any) -> bool:
    return len(set(map(key_of, values))) == len(values)


def test_an_array_has_one_key_however_it_lies_in_memory():
    np = pytest.importorskip("numpy")
    array = np.arange(12.0).reshape(3, 4)
    same = [array.copy(order="F"), np.arange(24.0)[::2].reshape(3, 4) / 2, array.T.copy().T]
    assert {key_of([other]) for other in same} == {key_of([array])}


def test_arrays_differ_by_type_shape_and_content():
    np = pytest.importorskip("numpy")
    array = np.zeros((2, 3))
    assert all_differ(
        array,
        array + 1,
        array.reshape(3, 2),
        array.astype("f4"),
        array.astype(">f8"),
        array.tolist(),
        array.tobytes(),
        np.zeros(6),
        array.astype("m8[s]"),
        array.astype("m8[ms]"),
    )


def test_the_key_of_an_array_is_pinned():
    np = pytest.importorskip("numpy")
    keys = [key_of(np.arange(3, dtype="i8")).hex(), key_of(np.float64(1.5)).hex()]
    assert keys == [
        "c47df3dfff0d361717666021a477e26aaf7395bd",
        "4618716ef2944b083c069a9609c6d09153787a97",
    ]


def test_a_scalar_is_no_array():
    np = pytest.importorskip("numpy")
    assert all_differ(np.float64(1), np.array(1.0), 1.0, np.float32(1), np.int64(1), np.bool_(True))


def test_arrays_of_objects_are_keyed_by_the_objects():
    np = pytest.importorskip("numpy")
    one = np.array(["a", None, {"b", "c"}], dtype=object)
    two = np.array(["a", None, {"c", "b"}], dtype=object)
    assert key_of(one) == key_of(two) != key_of(np.array(["a", None, {"b"}], dtype=object))


def test_the_gaps_in_a_structured_array_are_not_part_of_its_key():
    np = pytest.importorskip("numpy")
    kind = np.dtype([("a", "i1"), ("b", "f8")], align=True)
    keys = set()
    for filling in (0, 255):
        array = np.frombuffer(bytearray([filling]) * (3 * kind.itemsize), dtype=kind)
        array["a"], array["b"] = [1, 2, 3], [4, 5, 6]
        keys.add(key_of(array))
    assert len(keys) == 1


def test_a_mask_or_another_addition_to_an_array_is_part_of_its_key():
    np = pytest.importorskip("numpy")

    class Quantity(np.ndarray):
        def __reduce__(self) -> Any:
            return (Quantity, (), (super().__reduce__(), self.unit))

    def quantity(unit: str) -> Any:
        made = np.arange(3).view(Quantity)
        made.unit = unit
        return made

    plain = np.arange(3)
    assert all_differ(
        plain, quantity("m"), quantity("s"), np.ma.array(plain), np.ma.array(plain, mask=[0, 0, 1])
    )


def test_a_frame_is_keyed_by_columns_index_types_and_values():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    assert key_of(frame) == key_of(pd.DataFrame({"a": [1, 2], "b": ["x", None]}))
    assert key_of([frame]) == key_of([frame.copy().T.T.astype(frame.dtypes.to_dict())])
    assert all_differ(
        frame,
        frame[["b", "a"]],
        frame.set_index("a"),
        frame.rename(columns={"a": "c"}),
        frame.astype({"a": "f8"}),
        frame.iloc[::-1],
        frame.head(1),
        frame["a"],
        frame["b"],
        frame.assign(a=[1, 3]),
        frame.index,
        frame.columns,
    )


def test_a_frame_has_one_key_however_its_blocks_lie_in_memory():
    pd = pytest.importorskip("pandas")
    whole = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    built = pd.DataFrame({"a": [1, 2]})
    built["b"] = [3, 4]
    assert key_of(whole) == key_of(built)


def test_columns_of_special_types_have_keys():
    pd = pytest.importorskip("pandas")
    times = pd.to_datetime(["2024-01-01", "2024-06-01"])
    assert all_differ(
        pd.Series(times),
        pd.Series(times.tz_localize("UTC")),
        pd.Series(times.tz_localize("Europe/Berlin")),
        pd.Series([1, None], dtype="Int64"),
        pd.Series([1, None]),
        pd.Series(["a", None], dtype="string"),
        pd.Series(times - times[0]),
        pd.Series(times.to_period("M")),
        pd.MultiIndex.from_tuples([(1, "a"), (2, "b")]),
        times,
        times.tz_localize("UTC"),
        pd.Timestamp("2024-01-01"),
        pd.Timedelta("1s"),
        pd.NaT,
    )


def test_the_categories_of_a_column_are_part_of_its_key():
    pd = pytest.importorskip("pandas")
    values = ["a", "b"]
    assert all_differ(
        pd.Series(pd.Categorical(values)),
        pd.Series(pd.Categorical(values, categories=["a", "b", "c"])),
        pd.Series(pd.Categorical(values, ordered=True)),
        pd.Series(values),
    )


def test_what_is_told_of_a_frame_is_part_of_its_key():
    pd = pytest.importorskip("pandas")

    def told(**attributes: Any) -> Any:
        made = pd.DataFrame({"a": [1]})
        made.attrs.update(attributes)
        return made

    assert key_of(told()) == key_of(pd.DataFrame({"a": [1]}))
    assert key_of(told(unit="m")) == key_of(told(unit="m"))
    assert all_differ(told(), told(unit="m"), told(unit="s"), told(unit="m")["a"])


def test_what_a_subclass_adds_to_a_frame_is_part_of_its_key():
    pd = pytest.importorskip("pandas")

    class Located(pd.DataFrame):
        _metadata = ["crs"]

    def located(crs: str) -> Any:
        made = Located({"a": [1]})
        made.crs = crs
        return made

    assert key_of(located("x")) == key_of(located("x"))
    assert all_differ(located("x"), located("y"), pd.DataFrame({"a": [1]}))
