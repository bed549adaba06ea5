//! Images and documents of a Converse request: always as bytes, with a format in Converse's own words, documents with a name
//! that it takes.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;

use crate::conversation::{Media, Source};

const NAME_CHARS_MAX: usize = 200;

#[derive(Serialize)]
pub(super) struct Image<'a> {
    format: &'a str,
    source: Bytes<'a>,
}

#[derive(Serialize)]
pub(super) struct Document<'a> {
    format: &'a str,
    name: String,
    source: Bytes<'a>,
}

/// In base64.
#[derive(Serialize)]
struct Bytes<'a> {
    bytes: Cow<'a, str>,
}

impl<'a> Image<'a> {
    /// `None` for what `fit` has refused: an image that is somewhere else.
    pub(super) fn of(media: &'a Media) -> Option<Image<'a>> {
        let Source::Base64(data) = &media.source else {
            return None;
        };
        Some(Image {
            format: image_format(&media.mime, data),
            source: Bytes {
                bytes: Cow::Borrowed(data),
            },
        })
    }
}

/// The name of the format; where the client told none, by how such files begin.
fn image_format<'a>(mime: &'a str, data: &str) -> &'a str {
    match mime.strip_prefix("image/") {
        Some("jpg") => "jpeg",
        // one that Converse does not know either: it says so itself
        Some(format) if !format.is_empty() => format,
        _ if data.starts_with("/9j/") => "jpeg",
        _ if data.starts_with("R0lGOD") => "gif",
        _ if data.starts_with("UklGR") => "webp",
        _ => "png",
    }
}

/// The names of a request's documents: each stands once.
#[derive(Default)]
pub(super) struct DocumentNames(Vec<String>);

impl DocumentNames {
    pub(super) fn document<'a>(&mut self, media: &'a Media) -> Option<Document<'a>> {
        let bytes = match &media.source {
            Source::Base64(data) => Cow::Borrowed(data.as_str()),
            Source::Text(text) if text.is_empty() => return None,
            Source::Text(text) => Cow::Owned(BASE64.encode(text)),
            Source::Url(_) | Source::File(_) => return None,
        };
        let format = if matches!(media.source, Source::Text(_)) {
            "txt"
        } else {
            document_format(&media.mime)
        };
        Some(Document {
            format,
            name: self.fitting(media.name.as_deref()),
            source: Bytes { bytes },
        })
    }

    /// Letters, digits, single spaces, hyphens, round and square brackets; a number behind one that is taken.
    fn fitting(&mut self, name: Option<&str>) -> String {
        let takes = |letter: char| {
            letter.is_ascii_alphanumeric() || matches!(letter, '-' | '(' | ')' | '[' | ']')
        };
        let plain: String = name
            .unwrap_or_default()
            .chars()
            .map(|letter| if takes(letter) { letter } else { ' ' })
            .collect();
        let plain = plain.split_whitespace().collect::<Vec<_>>().join(" ");
        let plain: String = plain.chars().take(NAME_CHARS_MAX - 8).collect();
        let plain = if plain.trim().is_empty() {
            "document"
        } else {
            plain.trim()
        };
        let mut fitting = plain.to_owned();
        let mut number = 1;
        while self.0.contains(&fitting) {
            number += 1;
            fitting = format!("{plain} ({number})");
        }
        self.0.push(fitting.clone());
        fitting
    }
}

fn document_format(mime: &str) -> &str {
    match mime.split(';').next().unwrap_or_default().trim() {
        "application/pdf" | "" => "pdf",
        "text/plain" => "txt",
        "text/csv" => "csv",
        "text/html" => "html",
        "text/markdown" => "md",
        "application/msword" => "doc",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => "docx",
        "application/vnd.ms-excel" => "xls",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => "xlsx",
        // one that Converse does not know either: it says so itself
        other => other.rsplit('/').next().unwrap_or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_documents_name_has_only_letters_that_converse_takes_and_stands_once() {
        let mut names = DocumentNames::default();
        for (name, expected) in [
            (Some("a_b.pdf"), "a b pdf"),
            (Some("a  b\tpdf"), "a b pdf (2)"),
            (Some("(x) [y]-z"), "(x) [y]-z"),
            (Some("\u{65e5}\u{672c}"), "document"),
            (None, "document (2)"),
            (Some(""), "document (3)"),
        ] {
            assert_eq!(names.fitting(name), expected, "{name:?}");
        }
        assert!(names.fitting(Some(&"x ".repeat(500))).len() <= NAME_CHARS_MAX);
    }

    #[test]
    fn formats_have_converses_own_words() {
        for (mime, data, expected) in [
            ("image/png", "", "png"),
            ("image/jpeg", "", "jpeg"),
            ("image/bmp", "", "bmp"),
            ("", "/9j/4AAQ", "jpeg"),
            ("", "UklGRgAA", "webp"),
            ("", "R0lGODlh", "gif"),
            ("application/octet-stream", "iVBORw0KGgo", "png"),
        ] {
            assert_eq!(image_format(mime, data), expected, "{mime}");
        }
        for (mime, expected) in [
            ("application/pdf", "pdf"),
            ("text/csv; charset=utf-8", "csv"),
            ("x/odt", "odt"),
        ] {
            assert_eq!(document_format(mime), expected);
        }
        let text = Media {
            mime: "text/plain".into(),
            source: Source::Text("hi".into()),
            name: None,
        };
        let document = DocumentNames::default()
            .document(&text)
            .expect("a document");
        assert_eq!((document.format, &*document.source.bytes), ("txt", "aGk="));
    }
}
