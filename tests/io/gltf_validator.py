"""The official validator of the Khronos Group, an npm package that runs in node."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = """
const fs = require("fs");
const validator = require("gltf-validator");
async function main() {
  const reports = [];
  for (const path of process.argv.slice(2)) {
    reports.push((await validator.validateBytes(new Uint8Array(fs.readFileSync(path)))).issues);
  }
  console.log(JSON.stringify(reports));
}
main();
"""


def installed_validator(folder: Path) -> Path:
    """The script that validates files, installed into a folder; skips the test where that is not possible."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("needs node and npm")
    install = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), "gltf-validator"]
    try:
        subprocess.run(install, check=True, capture_output=True, timeout=120)
    except (subprocess.SubprocessError, OSError):
        pytest.skip("gltf-validator cannot be installed")
    script = folder / "validate.js"
    script.write_text(SCRIPT)
    return script


def errors(script: Path, paths: list[Path]) -> dict[str, list[str]]:
    """Messages of severity error, by file name; only files that have some."""
    run = subprocess.run(["node", str(script), *map(str, paths)], check=True, capture_output=True, timeout=300)
    reports = json.loads(run.stdout)
    return {
        path.name: [message["message"] for message in report["messages"] if message["severity"] == 0]
        for path, report in zip(paths, reports, strict=True)
        if report["numErrors"]
    }
