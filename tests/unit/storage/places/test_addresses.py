"""Check the parsing of addresses of stores in buckets."""

from pathlib import PurePosixPath

import pytest

from storage.artifacts import Store
from storage.errors import InputError
from storage.places.addresses import format_address, parse_address
from storage.places.objects import Bucket, ObjectPath


@pytest.mark.parametrize(
    ("address", "bucket", "key"),
    [
        ("s3://field", Bucket("field"), ""),
        ("s3://field/2021/", Bucket("field"), "2021"),
        ("s3://field/a/b?endpoint=http://10.0.0.1:9000", Bucket("field", "http://10.0.0.1:9000"), "a/b"),
        (
            "s3://field/a?endpoint=https://s3.example.org&region=eu-central-1",
            Bucket("field", "https://s3.example.org", "eu-central-1"),
            "a",
        ),
    ],
)
def test_an_address_says_where_a_store_is(address: str, bucket: Bucket, key: str) -> None:
    root = parse_address(address)
    assert root == ObjectPath(bucket, PurePosixPath(key))
    assert parse_address(format_address(root)) == root
    assert Store(address).root == root and Store(Store(address).address).root == root


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("gs://bucket/store", "the scheme gs"),
        ("file:///tmp/store", "the scheme file"),
        ("s3:///store", "names no bucket"),
        ("s3://bucket/store?region=eu.example.org/", "the region eu.example.org/"),
        ("s3://key:secret@bucket/store", "contains credentials"),
        ("s3://bucket/store?endpoint=http://key:secret@host", "contains credentials"),
        ("s3://bucket/store?access_key=a", "contains credentials"),
        ("s3://bucket/store?endpont=http://host", "the unknown option endpont"),
        ("s3://bucket/store?endpoint=host:9000", "the endpoint host:9000"),
        ("s3://bucket/a/../b", "`..` in /a/../b"),
    ],
)
def test_what_is_no_address_is_refused(address: str, found: str) -> None:
    with pytest.raises(InputError) as refused:
        Store(address)
    assert found in refused.value.found and "s3://bucket/prefix" in refused.value.rule
    assert "secret" not in refused.value.found  # which may be on a screen
