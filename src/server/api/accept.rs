//! In which form an answer of the control plane is wanted.

/// How an answer is written. Only the reports have columns; everything else answers in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportFormat {
    Json,
    Csv,
}

impl ReportFormat {
    /// What a client's `accept` prefers: by `q`, at the same `q` what it names more closely, and else JSON.
    pub fn accepted(accept: Option<&str>) -> ReportFormat {
        let accept = accept.unwrap_or_default();
        let (json, csv) = (
            wanted(accept, "application", "json"),
            wanted(accept, "text", "csv"),
        );
        if csv > json && csv.0 > 0 {
            ReportFormat::Csv
        } else {
            ReportFormat::Json
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            ReportFormat::Json => "application/json",
            ReportFormat::Csv => "text/csv; charset=utf-8; header=present",
        }
    }
}

/// How much a type is wanted, in thousandths, and how closely it is named: by itself, by its family, or as anything. The
/// closest name counts.
fn wanted(accept: &str, family: &str, kind: &str) -> (u16, u8) {
    let mut best = (0, 0);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let Some((left, right)) = parts.next().and_then(|media| media.split_once('/')) else {
            continue;
        };
        let closeness = match (
            left.eq_ignore_ascii_case(family),
            right.eq_ignore_ascii_case(kind),
        ) {
            (true, true) => 3,
            (true, false) if right == "*" => 2,
            _ if (left, right) == ("*", "*") => 1,
            _ => continue,
        };
        if closeness > best.1 {
            best = (parts.find_map(quality).unwrap_or(1_000), closeness);
        }
    }
    best
}

/// `q=0.8`, in thousandths.
fn quality(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    let share: f32 = value
        .trim()
        .parse()
        .ok()
        .filter(|_| name.trim().eq_ignore_ascii_case("q"))?;
    Some((share.clamp(0.0, 1.0) * 1_000.0).round() as u16)
}
