//! Decoding of bodies in any pieces, of flushed streams, and of short bodies that stand for long ones.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

use super::*;

const TEXT: &[u8] = br#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
/// `TEXT`, by another encoder
const TEXT_BR: &str = "1b3800401c07768cb385391c6ce7b5c85edad6686b169dae3ee09003a703656d817c5e67361d96847a823cb964964c0380c577ef06";
/// Two flushed pieces and the end of a stream, by another encoder.
const EVENTS_BR: [&str; 3] = [
    "0b27000004323d7fa1cff1c3b8a4cb32c0c1b0a9075c7c6825da10eb024ce4842f1d5b1059ac36cf2bda66a4680d881f32e1b711ff91812bde8e81900d929c5419",
    "680008646174613a205b444f4e455d0a0a",
    "03",
];

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).expect("hex"), 16);
    pairs.map(|pair| byte(pair).expect("hex")).collect()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(zstd_safe::compress_bound(text.len()));
    zstd_safe::compress(&mut out, text, 3).expect("it compresses");
    out
}

fn finished<W: Write>(
    mut encoder: W,
    finish: impl FnOnce(W) -> std::io::Result<Vec<u8>>,
) -> Vec<u8> {
    encoder.write_all(TEXT).expect("a Vec");
    finish(encoder).expect("a Vec")
}

fn coded() -> Vec<(&'static str, Vec<u8>)> {
    let best = Compression::best();
    let named = flate2::GzBuilder::new().filename("a.json").comment("c");
    vec![
        (
            "gzip",
            finished(GzEncoder::new(Vec::new(), best), GzEncoder::finish),
        ),
        (
            "x-gzip",
            finished(named.extra("xy").write(Vec::new(), best), GzEncoder::finish),
        ),
        (
            "deflate",
            finished(ZlibEncoder::new(Vec::new(), best), ZlibEncoder::finish),
        ),
        (
            "deflate",
            finished(
                DeflateEncoder::new(Vec::new(), best),
                DeflateEncoder::finish,
            ),
        ),
        ("zstd", zstd(TEXT)),
        ("BR", bytes(TEXT_BR)),
    ]
}

fn decoder(coding: &str) -> BodyDecoder {
    let decoder = BodyDecoder::of(coding).expect("a known coding");
    decoder.expect("a coding")
}

fn decoded(decoder: &mut BodyDecoder, chunk: &[u8]) -> Result<Vec<u8>, CodingError> {
    decoder.push(Bytes::copy_from_slice(chunk));
    let mut out = Vec::new();
    while let Some(piece) = decoder.next_piece()? {
        assert!(piece.len() <= PIECE_BYTES);
        out.extend_from_slice(&piece);
    }
    Ok(out)
}

#[test]
fn body_of_each_coding_is_decoded_in_any_pieces() {
    for (coding, body) in coded() {
        for size in [1, 2, 7, body.len()] {
            let mut decoder = decoder(coding);
            let mut out = Vec::new();
            for chunk in body.chunks(size) {
                out.extend(decoded(&mut decoder, chunk).expect(coding));
            }
            assert_eq!(
                (out.as_slice(), decoder.finish()),
                (TEXT, Ok(())),
                "{coding}"
            );
        }
    }
    let members = [coded()[0].1.clone(), coded()[1].1.clone()].concat();
    let twice = decoded(&mut decoder("gzip"), &members);
    assert_eq!(twice, Ok([TEXT, TEXT].concat()));
}

#[test]
fn body_cut_or_damaged_is_an_error_for_each_coding() {
    for (coding, body) in coded() {
        let mut cut = decoder(coding);
        let read = decoded(&mut cut, &body[..body.len() - 1]);
        assert!(read.is_ok() && cut.finish().is_err(), "{coding}");
        let (mut damaged, mut whole) = (body.clone(), decoder(coding));
        damaged[0] ^= 0xff;
        let read = decoded(&mut whole, &damaged);
        assert!(read.is_err() || whole.finish().is_err(), "{coding}");
    }
    let mut trailing = coded()[2].1.clone();
    trailing.push(7);
    assert_eq!(
        decoded(&mut decoder("deflate"), &trailing),
        Err(CodingError::Malformed("deflate"))
    );
    assert_eq!(decoder("br").finish(), Ok(()), "an empty body");
}

#[test]
fn flushed_stream_is_decoded_up_to_each_flush() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    let mut sent = 0;
    let mut reader = decoder("gzip");
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        gzip.write_all(event.as_bytes()).expect("a Vec");
        gzip.flush().expect("a Vec");
        let chunk = gzip.get_ref()[sent..].to_vec();
        sent = gzip.get_ref().len();
        assert_eq!(decoded(&mut reader, &chunk), Ok(event.as_bytes().to_vec()));
    }
    let mut reader = decoder("br");
    let pieces = EVENTS_BR.map(|piece| decoded(&mut reader, &bytes(piece)).expect("br"));
    assert!(pieces[0].ends_with(b"null}]}\n\n"));
    assert_eq!(
        (&pieces[1][..], &pieces[2][..]),
        (&b"data: [DONE]\n\n"[..], &b""[..])
    );
    assert_eq!(reader.finish(), Ok(()));
    let mut reader = decoder("zstd");
    let two = [zstd(b"data: 1\n\n"), zstd(b"data: 2\n\n")];
    let read = two.map(|frame| decoded(&mut reader, &frame).expect("zstd"));
    assert_eq!(read, [b"data: 1\n\n", b"data: 2\n\n"]);
}

#[test]
fn bomb_is_decoded_in_bounded_pieces() {
    let zeros = vec![0; 8 << 20];
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&zeros).expect("a Vec");
    for (coding, body) in [
        ("gzip", gzip.finish().expect("a Vec")),
        ("zstd", zstd(&zeros)),
    ] {
        assert!(body.len() < 10_000, "{coding}");
        let mut decoder = decoder(coding);
        decoder.push(body.into());
        let (mut total, mut pieces) = (0, 0);
        while let Some(piece) = decoder.next_piece().expect(coding) {
            (total, pieces) = (total + piece.len(), pieces + 1);
        }
        assert_eq!(total, zeros.len());
        assert!(pieces >= zeros.len() / PIECE_BYTES, "{coding}");
    }
}

#[test]
fn coding_that_is_unknown_or_none_has_no_decoder() {
    for none in ["", "identity", " Identity "] {
        assert!(BodyDecoder::of(none).is_ok_and(|decoder| decoder.is_none()));
    }
    for unknown in ["compress", "gzip, br", "snappy"] {
        let error = BodyDecoder::of(unknown).err().expect("unknown");
        assert!(error.to_string().contains(unknown), "{error}");
    }
}
