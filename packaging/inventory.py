#!/usr/bin/env python3
"""Lists the crates in the binary: packaging/inventory.py FOLDER [CARGO_ARGS...]

Writes into FOLDER: `sbom.cdx.json` (CycloneDX 1.5), `audit.z` (the data of `cargo auditable`, which `cargo audit bin` reads
from the section .dep-v0) and `THIRD-PARTY.txt` (licenses). Reads `cargo tree` and `cargo metadata`; equal inputs give equal bytes.
"""
import json
import os
import re
import subprocess
import sys
import zlib

TARGET = os.environ.get("GK_TARGET", "x86_64-unknown-linux-gnu")
LICENSE_FILE = re.compile(r"(?i)^(un)?licen[cs]e|^copying|^copyright|^notice")


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments], check=True, capture_output=True, text=True).stdout


def crates(edges):
    """Names and versions reached over these edges, as they are really built."""
    lines = cargo("tree", "--locked", "--target", TARGET, "--edges", edges, "--prefix", "none", "--format", "{p}").splitlines()
    return {tuple(line.split()[:2]) for line in lines if line}


def inventory():
    runtime = {(name, version.lstrip("v")) for name, version in crates("normal,no-proc-macro")}
    every = {(name, version.lstrip("v")) for name, version in crates("normal,build")}
    metadata = json.loads(cargo("metadata", "--locked", "--format-version", "1", "--filter-platform", TARGET))
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    packages = [package for package in metadata["packages"] if (package["name"], package["version"]) in every]
    packages.sort(key=lambda package: (package["name"], package["version"]))
    for package in packages:
        package["runtime"] = (package["name"], package["version"]) in runtime
        package["needs"] = nodes[package["id"]]["dependencies"]
    return packages, metadata["resolve"]["root"]


def audit_data(packages, root):
    index = {package["id"]: number for number, package in enumerate(packages)}
    listed = []
    for package in packages:
        entry = {"name": package["name"], "version": package["version"], "source": "crates.io" if package["source"] else "local"}
        if not package["runtime"]:
            entry["kind"] = "build"
        needs = sorted(index[needed] for needed in package["needs"] if needed in index)
        if needs:
            entry["dependencies"] = needs
        if package["id"] == root:
            entry["root"] = True
        listed.append(entry)
    return zlib.compress(json.dumps({"packages": listed}, separators=(",", ":")).encode(), 9)


def checksums():
    text = open("Cargo.lock", encoding="utf-8").read()
    entry = re.compile(r'name = "([^"]+)"\nversion = "([^"]+)"\nsource = "[^"]+"\nchecksum = "([0-9a-f]+)"')
    return {(name, version): checksum for name, version, checksum in entry.findall(text)}


def sbom(packages, root):
    known = checksums()
    runtime = [package for package in packages if package["runtime"]]
    ref = {package["id"]: f"pkg:cargo/{package['name']}@{package['version']}" for package in packages}

    def component(package):
        kind = "application" if package["id"] == root else "library"
        entry = {"type": kind, "bom-ref": ref[package["id"]], "name": package["name"], "version": package["version"],
                 "purl": ref[package["id"]], "scope": "required"}
        if package["license"]:
            entry["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
        checksum = known.get((package["name"], package["version"]))
        if checksum:
            entry["hashes"] = [{"alg": "SHA-256", "content": checksum}]
        return entry

    main = next(package for package in runtime if package["id"] == root)
    others = [package for package in runtime if package["id"] != root]
    names = {package["id"] for package in runtime}
    edges = [{"ref": ref[package["id"]], "dependsOn": sorted(ref[needed] for needed in package["needs"] if needed in names)}
             for package in runtime]
    return {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "metadata": {"component": component(main)},
            "components": [component(package) for package in others], "dependencies": edges}


def third_party(packages, root):
    """Every license text once, with the crates that carry it."""
    heading = ["Crates in the gatekeeper binary, with their licenses.\n"]
    texts = {}
    for package in packages:
        if not package["runtime"] or package["id"] == root:
            continue
        name = f"{package['name']} {package['version']}"
        heading.append(f"{name}: {package['license'] or 'see its text below'}")
        folder = os.path.dirname(package["manifest_path"])
        for file in sorted(os.listdir(folder)):
            path = os.path.join(folder, file)
            if LICENSE_FILE.match(file) and os.path.isfile(path):
                text = open(path, encoding="utf-8", errors="replace").read().replace("\r\n", "\n").strip()
                texts.setdefault(text, []).append(name)
    parts = ["\n".join(heading)]
    parts += ["=" * 78 + "\n" + ", ".join(names) + "\n\n" + text for text, names in texts.items()]
    return "\n\n".join(parts) + "\n"


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    packages, root = inventory()
    with open(os.path.join(folder, "sbom.cdx.json"), "w", encoding="utf-8") as out:
        json.dump(sbom(packages, root), out, indent=1, sort_keys=True)
        out.write("\n")
    with open(os.path.join(folder, "audit.z"), "wb") as out:
        out.write(audit_data(packages, root))
    with open(os.path.join(folder, "THIRD-PARTY.txt"), "w", encoding="utf-8") as out:
        out.write(third_party(packages, root))


main()
