"""Bring the vendored files up to date: `python runbus/web/static/vendor/refresh.py [version]`.

Takes the package from npm, checks it against the hash that npm names, unpacks the files that the
page uses beside its licence, and writes `manifest.json`. Needs nothing but Python. Look at the
change, run the tests, commit.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import sys
import tarfile
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
REGISTRY = "https://registry.npmjs.org"
PACKAGE = "@fontsource-variable/inter"
FILES = {
    "package/files/inter-latin-wght-normal.woff2": "inter-latin-wght-normal.woff2",
    "package/LICENSE": "inter-LICENSE.txt",
}


def main(version: str) -> None:
    """Write the files of a version, or of the newest."""
    told = json.loads(_get(f"{REGISTRY}/{PACKAGE}/{version}"))
    archive = _get(told["dist"]["tarball"])
    _check(archive, told["dist"]["integrity"])
    hashes: dict[str, str] = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as package:
        for inside, name in FILES.items():
            member = package.extractfile(inside)
            if member is None:
                sys.exit(f"{PACKAGE} {told['version']} has no file {inside}")
            data = member.read()
            (HERE / name).write_bytes(data)
            hashes[name] = hashlib.sha256(data).hexdigest()
    manifest = {
        "package": PACKAGE,
        "version": told["version"],
        "licence": told["license"],
        "tarball": told["dist"]["tarball"],
        "integrity": told["dist"]["integrity"],
        "sha256": hashes,
    }
    (HERE / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    print(f"{PACKAGE} {told['version']}")


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as response:  # noqa: S310
        return response.read()


def _check(archive: bytes, integrity: str) -> None:
    kind, _, wanted = integrity.partition("-")
    found = base64.b64encode(hashlib.new(kind, archive).digest()).decode()
    if found != wanted:
        sys.exit(f"the package is not the one that npm names: {kind} {found}, not {wanted}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "latest")
