"""Check objects of a bucket on two real servers, and over a connection that fails."""

import pickle
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

import pytest

from storage.artifacts import Store
from storage.errors import InputError
from storage.places import objects
from storage.places.addresses import parse_address
from storage.places.files import changed_at, describe_content, describe_file
from storage.places.objects import Bucket, ObjectPath
from storage.verify import verify_store
from tests.support.object_servers import (
    BUCKET,
    CREDENTIALS,
    PASSING_FAULTS,
    ObjectServer,
    faulty_line,
    free_port,
)


@pytest.fixture
def root(address: str) -> ObjectPath:
    return parse_address(address)


class TestObjectPath:
    def test_parts_of_its_name(self, root: ObjectPath) -> None:
        path = root / "tables" / "plants.parquet"
        assert (path.name, path.stem, path.suffix) == ("plants.parquet", "plants", ".parquet")
        assert path.parent == root / "tables" and path.relative_to(root).as_posix() == "tables/plants.parquet"
        assert str(path) == f"s3://{BUCKET}/{root.key}/tables/plants.parquet"

    @pytest.mark.parametrize("content", [b"", b"content", bytes(12_000_000)], ids=["empty", "small", "several parts"])
    def test_what_is_written_is_read(self, root: ObjectPath, content: bytes, tmp_path: Path) -> None:
        file = tmp_path / "file.bin"
        file.write_bytes(content)
        for path, source in ((root / "of bytes", content), (root / "of a file", file)):
            tag = path.write_bytes(source)
            assert path.is_file() and path.read_bytes() == content
            assert path.state()[:2] == (len(content), tag)
            changed = changed_at(path)
            assert changed is not None and abs(datetime.now(UTC) - changed) < timedelta(minutes=1)
            assert describe_file(path) == describe_content(content)

    def test_a_tag_changes_with_the_content(self, root: ObjectPath) -> None:
        path = root / "object"
        assert path.write_bytes(b"content") != path.write_bytes(b"CONTENT") == path.state().etag

    def test_what_is_not_there(self, root: ObjectPath) -> None:
        path = root / "none"
        assert not path.is_file() and not path.is_dir() and list(path.files()) == []
        path.unlink()  # deleting a missing object is no error
        path.remove_all()
        for ask in (path.read_bytes, path.state, path.checksum, lambda: path.copy_to(root / "copy")):
            with pytest.raises(FileNotFoundError, match=f"no object {path}"):
                ask()

    def test_deleting(self, root: ObjectPath) -> None:
        for name in ("a/1", "a/2", "ab/1"):
            (root / name).write_bytes(b"content")
        (root / "a/1").unlink()
        assert [path.relative_to(root).as_posix() for path in root.files()] == ["a/2", "ab/1"]
        (root / "a").remove_all()  # names that only begin the same way stay
        assert [path.relative_to(root).as_posix() for path in root.files()] == ["ab/1"]

    def test_a_copy_is_the_servers(self, root: ObjectPath) -> None:
        (root / "one").write_bytes(b"content")
        (root / "one").copy_to(root / "two")
        assert (root / "two").read_bytes() == b"content"

    def test_glob_is_that_of_a_folder(self, root: ObjectPath, tmp_path: Path) -> None:
        for name in (
            "a.json",
            "b/c.json",
            "b/d/e.json",
            "campaign=x/date=1/part-0.parquet",
            "campaign=y/part-0.parquet",
        ):
            (root / name).write_bytes(b"")
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(b"")
        for pattern in ("*", "*.json", "*/*.json", "*/*/*.json", "*=*", "campaign=*/date=*", "*/*"):
            found = sorted(path.relative_to(root).as_posix() for path in root.glob(pattern))
            assert found == sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.glob(pattern)), pattern

    def test_more_names_than_one_answer_holds(self, root: ObjectPath) -> None:
        for number in range(1005):
            (root / f"{number:04}").write_bytes(b"")
        assert [path.name for path in root.files()] == [f"{number:04}" for number in range(1005)]
        root.remove_all()
        assert not root.is_dir()

    def test_it_travels_to_other_processes(self, root: ObjectPath) -> None:
        (root / "object").write_bytes(b"content")
        assert pickle.loads(pickle.dumps(root / "object")).read_bytes() == b"content"


class TestStarting:
    def test_a_store_is_checked_by_one_request_however_large_it_is(self, object_server: ObjectServer) -> None:
        with faulty_line(object_server.url, share=0) as line:
            store = Store(f"s3://{BUCKET}/large?endpoint={line.url}")
            for number in range(1005):  # more than one page of a listing
                (store.root / f"{number:04}").write_bytes(b"")
            before = line.counts["served"]
            store.check()
            assert line.counts["served"] - before == 1 and store.root.is_dir()


class TestRefusals:
    def test_a_bucket_that_is_not_there(self, object_server: ObjectServer) -> None:
        store = Store(f"s3://no-such-bucket/a?endpoint={object_server.url}")
        for ask in (store.check, lambda: verify_store(store)):
            with pytest.raises(InputError, match="no bucket no-such-bucket"):
                ask()

    @pytest.mark.parametrize("object_server", ["rclone"], indirect=True)  # moto checks no credentials
    def test_wrong_credentials(self, object_server: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody-else")
        with pytest.raises(InputError, match="AWS_ACCESS_KEY_ID"):
            Store(f"s3://{BUCKET}/other?endpoint={object_server.url}&region=of-others").check()


class TestFaults:
    @pytest.mark.parametrize("share", [0.05, 0.4])
    def test_requests_that_fail_in_passing_are_repeated(self, object_server: ObjectServer, share: float) -> None:
        with faulty_line(object_server.url, share) as line:
            root = parse_address(f"s3://{BUCKET}/faulty/{share}?endpoint={line.url}")
            for number in range(30):
                (root / str(number)).write_bytes(bytes([number]) * 1000)
            assert [(root / str(number)).read_bytes()[0] for number in range(30)] == list(range(30))
            assert len(list(root.files())) == 30
            assert sum(line.counts[fault] for fault in PASSING_FAULTS) > 0

    def test_a_request_that_nothing_answers_is_sent_again(
        self, object_server: ObjectServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(objects, "REQUEST_SECONDS", 1)
        with faulty_line(object_server.url, share=0.3, faults=["silence"]) as line:
            root = parse_address(f"s3://{BUCKET}/silent?endpoint={line.url}")
            for number in range(4):
                (root / str(number)).write_bytes(bytes([number]) * 1000)
            assert [(root / str(number)).read_bytes()[0] for number in range(4)] == list(range(4))
            assert line.counts["hung up"] == line.counts["silence"] > 0

    def test_a_server_that_stays_away_is_an_error_like_a_disks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in CREDENTIALS.items():
            monkeypatch.setenv(name, value)
        bucket = Bucket(BUCKET, f"http://127.0.0.1:{free_port()}", retry_seconds=1)
        path = ObjectPath(bucket, PurePosixPath("a/object"))
        with pytest.raises(OSError, match=f"s3://{BUCKET}/a/object: ") as failed:
            path.write_bytes(b"content")
        assert type(failed.value) is OSError and "\n" not in str(failed.value)
