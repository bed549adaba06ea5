//! Content negotiation for lists and reports: `accept` header in, `ReportFormat` out.

use crate::domain::api_error::ApiError;

/// Format of an answer. CSV is for lists and reports, plain text for signed notes and proofs; everything else is JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportFormat {
    Json,
    Csv,
    Text,
}

impl ReportFormat {
    /// Format that the `accept` header prefers: by `q`, then by the more specific range, else JSON.
    pub fn accepted(accept: Option<&str>) -> ReportFormat {
        let accept = accept.unwrap_or_default();
        let (json, csv) = (
            preference(accept, "application", "json"),
            preference(accept, "text", "csv"),
        );
        if csv > json && csv.0 > 0 {
            ReportFormat::Csv
        } else {
            ReportFormat::Json
        }
    }

    /// Format of a report: the parameter `format`, which a browser can send, else the one that the header prefers. Removes the
    /// parameter.
    pub fn take(
        parameters: &mut Vec<(String, String)>,
        accepted: ReportFormat,
    ) -> Result<ReportFormat, ApiError> {
        let Some(at) = parameters.iter().position(|(name, _)| name == "format") else {
            return Ok(accepted);
        };
        match parameters.remove(at).1.as_str() {
            "json" => Ok(ReportFormat::Json),
            "csv" => Ok(ReportFormat::Csv),
            _ => Err(ApiError::invalid("`format` must be json or csv").with_param("format")),
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            ReportFormat::Json => "application/json",
            ReportFormat::Csv => "text/csv; charset=utf-8; header=present",
            ReportFormat::Text => "text/plain; charset=utf-8",
        }
    }
}

/// Quality in thousandths and specificity of the most specific range that matches: 3 for the type itself, 2 for `type/*`, 1
/// for `*/*`.
fn preference(accept: &str, top_level: &str, subtype: &str) -> (u16, u8) {
    let mut best = (0, 0);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let Some((left, right)) = parts.next().and_then(|media| media.split_once('/')) else {
            continue;
        };
        let specificity = match (
            left.eq_ignore_ascii_case(top_level),
            right.eq_ignore_ascii_case(subtype),
        ) {
            (true, true) => 3,
            (true, false) if right == "*" => 2,
            _ if (left, right) == ("*", "*") => 1,
            _ => continue,
        };
        if specificity > best.1 {
            best = (parts.find_map(quality).unwrap_or(1_000), specificity);
        }
    }
    best
}

/// `q=0.8`, in thousandths.
fn quality(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    let quality: f32 = value
        .trim()
        .parse()
        .ok()
        .filter(|_| name.trim().eq_ignore_ascii_case("q"))?;
    Some((quality.clamp(0.0, 1.0) * 1_000.0).round() as u16)
}
