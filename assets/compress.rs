//! Build script: compresses the text files that the binary embeds, so that 0.8 MB of JSON and scripts take 0.1 MB of it.
//! Equal files give equal bytes: the gzip head has neither a time nor a name.

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

fn main() {
    let out = std::env::var("OUT_DIR").expect("Cargo sets OUT_DIR");
    let assets = Path::new("assets");
    for name in ["prices.json", "vendor-limits.json", "dashboard"] {
        println!("cargo::rerun-if-changed=assets/{name}");
        compress(&assets.join(name), &Path::new(&out).join(name));
    }
}

/// Writes a file compressed, with `.gz` behind its name, or every file of a folder.
fn compress(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).expect("a folder in OUT_DIR");
        for entry in fs::read_dir(from).expect("the folder can be listed") {
            let path = entry.expect("an entry").path();
            compress(&path, &to.join(path.file_name().expect("a name")));
        }
        return;
    }
    let text = fs::read(from).expect("the file can be read");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder
        .write_all(&text)
        .expect("a vector takes every write");
    let gzip = encoder.finish().expect("a vector takes every write");
    let mut name = to.as_os_str().to_owned();
    name.push(".gz");
    fs::write(name, gzip).expect("a file in OUT_DIR");
}
