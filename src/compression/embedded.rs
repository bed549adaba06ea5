//! Text files that the binary embeds, which the build script compresses (`assets/compress.rs`).

use std::io::Read;

use flate2::read::GzDecoder;

/// Text of a file that was compressed when this binary was built. Empty if the binary is damaged.
pub fn embedded_text(gzip: &[u8]) -> String {
    let mut text = String::new();
    match GzDecoder::new(gzip).read_to_string(&mut text) {
        Ok(_) => text,
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_text_of_a_cut_file_is_empty() {
        let sheet = include_bytes!(concat!(env!("OUT_DIR"), "/prices.json.gz"));
        assert_eq!(
            embedded_text(sheet),
            include_str!("../../assets/prices.json")
        );
        assert_eq!(embedded_text(&sheet[..sheet.len() - 1]), "");
    }
}
