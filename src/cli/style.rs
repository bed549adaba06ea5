//! Rendering of values for people: colour, width of the terminal, digits of money, dates. `--exact` shows every digit and
//! full instants. Must never change a value that goes to JSON or CSV.

use std::env;
use std::io::IsTerminal;

use clap::{Args, ColorChoice};
use rustix::termios::tcgetwinsize;
use serde_json::Value;

use crate::cli::json::cell;
use crate::domain::clock::{Clock, SystemClock};
use crate::domain::money::Money;
use crate::domain::zone::Zone;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
/// One cent.
const CENT_PICO: u128 = 10_000_000_000;
/// Cells of a bar.
const BAR_CELLS: u64 = 8;

/// Flags that select the form of the output.
#[derive(Clone, Copy, Debug, Args)]
pub struct OutputArgs {
    /// Colours [default: on a terminal, unless NO_COLOR is set]
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "auto",
        hide_default_value = true
    )]
    color: ColorChoice,
    /// Show all digits of money, and instants in RFC 3339
    #[arg(long)]
    exact: bool,
}

impl OutputArgs {
    pub fn style(&self) -> Style {
        Style {
            color: self.has_color(),
            width: terminal_width(),
            exact: self.exact,
            zone: Zone::utc(),
            now_ms: SystemClock { boot: None }.wall_ms(),
        }
    }

    fn has_color(&self) -> bool {
        let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        match self.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
                std::io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb
            }
        }
    }
}

/// `COLUMNS`, else the width of the terminal; `None`: standard output is no terminal, lines are as long as needed.
fn terminal_width() -> Option<usize> {
    let named = env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    named.filter(|width| *width > 0).or_else(|| {
        let out = std::io::stdout();
        let size = out
            .is_terminal()
            .then(|| tcgetwinsize(out).ok())
            .flatten()?;
        Some(usize::from(size.ws_col)).filter(|width| *width > 0)
    })
}

/// Emphasis of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    #[default]
    Plain,
    Strong,
    Dim,
    Good,
    Warning,
    Bad,
}

/// Form of the output of one command.
#[derive(Clone, Debug)]
pub struct Style {
    pub color: bool,
    /// columns of the terminal; `None`: no bound
    pub width: Option<usize>,
    pub exact: bool,
    /// zone of dates and times, unless they are exact
    pub zone: Zone,
    /// dates of the same year are shown without it
    pub now_ms: u64,
}

impl Style {
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Strong => "1",
            Tone::Dim => "2",
            Tone::Good => "32",
            Tone::Warning => "33",
            Tone::Bad => "31",
            Tone::Plain => return text.to_owned(),
        };
        if self.color && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// Renders a decimal of the server: `$9.97`, `$0.00011`; every digit with `--exact`.
    pub fn money(&self, value: &Value) -> String {
        match value.as_str() {
            Some(text) => self.money_text(text),
            None => cell(value),
        }
    }

    /// Renders a plain decimal as an amount of money: every digit with `--exact`.
    pub fn money_text(&self, text: &str) -> String {
        let amount = Money::parse_signed(text);
        amount.map_or_else(|_| text.to_owned(), |amount| self.amount(amount))
    }

    pub fn amount(&self, amount: Money) -> String {
        let sign = if amount.pico() < 0 { "-" } else { "" };
        let pico = amount.pico().unsigned_abs();
        if self.exact {
            let digits = amount.to_string();
            return format!("{sign}${}", digits.trim_start_matches('-'));
        }
        format!("{sign}${}", short_amount(pico))
    }

    /// Renders a count with separators: `12,345`.
    pub fn count(&self, value: &Value) -> String {
        match value.as_u64() {
            Some(count) if !self.exact => grouped(u128::from(count)),
            _ => cell(value),
        }
    }

    /// Renders an instant: `1 Dec 00:00 UTC`, with its year where it is another one than this.
    pub fn date(&self, value: &Value) -> String {
        let text = cell(value);
        if self.exact {
            return text;
        }
        match Zone::parse_rfc3339(&text) {
            Some(at_ms) => {
                let day = self.day_of(&self.zone.date(at_ms));
                let time = self.zone.hour_and_minute(at_ms);
                day.map_or(text, |day| format!("{day} {time}"))
            }
            None => text,
        }
    }

    /// Renders an instant with its seconds: `1 Dec 10:00:07 UTC`.
    pub fn moment(&self, value: &Value) -> String {
        let date = self.date(value);
        match value.as_str().and_then(Zone::parse_rfc3339) {
            Some(at_ms) if !self.exact => {
                let minute = self.zone.hour_and_minute(at_ms);
                let (hours, zone) = minute.split_once(' ').unwrap_or((&minute, ""));
                let second = format!("{} {zone}", self.zone.time_of_day(at_ms));
                date.replacen(&format!("{hours} {zone}"), &second, 1)
            }
            _ => date,
        }
    }

    /// Renders an instant of today as `10:00:07`, an earlier one with its day.
    pub fn time(&self, value: &Value) -> String {
        let text = cell(value);
        match Zone::parse_rfc3339(&text) {
            Some(at_ms) if !self.exact && self.zone.date(at_ms) == self.today() => {
                self.zone.time_of_day(at_ms)
            }
            _ => self.date(value),
        }
    }

    /// Today's date: `2026-11-29`.
    pub fn today(&self) -> String {
        self.zone.date(self.now_ms)
    }

    /// Renders the day of an instant or a date: `1 Dec`.
    pub fn day(&self, value: &Value) -> String {
        self.day_text(&cell(value))
    }

    /// Renders the day of an instant in RFC 3339, or of a date; the whole text with `--exact`.
    pub fn day_text(&self, text: &str) -> String {
        if self.exact {
            return text.to_owned();
        }
        let date = Zone::parse_rfc3339(text).map(|at_ms| self.zone.date(at_ms));
        self.day_of(date.as_deref().unwrap_or(text))
            .unwrap_or_else(|| text.to_owned())
    }

    fn day_of(&self, text: &str) -> Option<String> {
        let (year, month, day) = (text.get(..4)?, text.get(5..7)?, text.get(8..10)?);
        let month = MONTHS.get(month.parse::<usize>().ok()?.checked_sub(1)?)?;
        let day = day.parse::<u8>().ok()?;
        if self.today().starts_with(year) {
            Some(format!("{day} {month}"))
        } else {
            Some(format!("{day} {month} {year}"))
        }
    }

    /// True for an instant that has passed.
    pub fn is_past(&self, instant: &str) -> bool {
        Zone::parse_rfc3339(instant).is_some_and(|at_ms| at_ms <= self.now_ms)
    }
}

impl Default for Style {
    /// No colour, no bound of the width.
    fn default() -> Style {
        Style {
            color: false,
            width: None,
            exact: false,
            zone: Zone::utc(),
            now_ms: 0,
        }
    }
}

/// Cents from one cent on; below, two significant digits.
fn short_amount(pico: u128) -> String {
    if pico == 0 {
        return "0.00".to_owned();
    }
    if pico >= CENT_PICO {
        let cents = (pico + CENT_PICO / 2) / CENT_PICO;
        return format!("{}.{:02}", grouped(cents / 100), cents % 100);
    }
    let unit = 10u128.pow(pico.ilog10().saturating_sub(1));
    let rounded = (pico + unit / 2) / unit * unit;
    let rounded = i128::try_from(rounded).unwrap_or(i128::MAX);
    Money::from_pico(rounded).to_string()
}

fn grouped(count: u128) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Used part of a limit in percent; `None`: no amounts, or a limit of zero.
pub fn percent(part: &Value, whole: &Value) -> Option<u64> {
    percent_of(part.as_str()?, whole.as_str()?)
}

/// Used part of a limit in percent, of two plain decimals; `None`: no amounts, or a limit of zero.
pub fn percent_of(part: &str, whole: &str) -> Option<u64> {
    let pico = |text: &str| Some(Money::parse_signed(text).ok()?.pico());
    let (part, whole) = (pico(part)?, pico(whole)?);
    if whole <= 0 {
        return None;
    }
    u64::try_from(part.max(0).saturating_mul(100) / whole).ok()
}

/// `▓▓▓▓▓░░░  62%`.
pub fn bar(percent: u64) -> String {
    let full = (percent * BAR_CELLS).div_ceil(100).min(BAR_CELLS);
    let cells: String = (0..BAR_CELLS)
        .map(|cell| if cell < full { '▓' } else { '░' })
        .collect();
    format!("{cells} {percent:>3}%")
}

/// Green below three quarters, red once nothing is left.
pub fn fill_tone(percent: u64) -> Tone {
    match percent {
        0..=74 => Tone::Good,
        75..=99 => Tone::Warning,
        _ => Tone::Bad,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn money_is_short_for_people_and_complete_with_exact() {
        let exact = Style {
            exact: true,
            ..Style::default()
        };
        for (amount, short, full) in [
            ("9.9667", "$9.97", "$9.9667"),
            ("0.00011432", "$0.00011", "$0.00011432"),
            ("0", "$0.00", "$0"),
            ("-1234567.5", "-$1,234,567.50", "-$1234567.5"),
            ("0.009999", "$0.01", "$0.009999"),
        ] {
            assert_eq!(Style::default().money(&json!(amount)), short);
            assert_eq!(exact.money(&json!(amount)), full);
        }
        assert_eq!(Style::default().money(&Value::Null), "-");
    }

    #[test]
    fn date_shows_its_year_only_if_it_is_another_one() {
        let style = Style {
            now_ms: Zone::parse_rfc3339("2026-11-29T10:00:00Z").expect("an instant"),
            ..Style::default()
        };
        let date = |text: &str| style.date(&json!(text));
        assert_eq!(date("2026-12-01T00:00:00Z"), "1 Dec 00:00 UTC");
        assert_eq!(date("2027-01-01T00:00:00Z"), "1 Jan 2027 00:00 UTC");
        assert_eq!(style.day(&json!("2026-12-01")), "1 Dec");
        assert!(style.is_past("2026-11-29T09:00:00Z"));
        assert!(!style.is_past("never"));
    }

    #[test]
    fn dates_and_times_are_those_of_the_zone() {
        let style = Style {
            zone: Zone::parse("Europe/Berlin").expect("a zone"),
            now_ms: Zone::parse_rfc3339("2026-11-29T10:00:00Z").expect("an instant"),
            ..Style::default()
        };
        let (reset, late) = (
            json!("2026-11-30T23:00:00Z"),
            json!("2026-11-28T23:30:07.5Z"),
        );
        assert_eq!(style.date(&reset), "1 Dec 00:00 CET");
        assert_eq!(
            (style.day(&reset), style.day(&json!("2026-11-30"))),
            ("1 Dec".into(), "30 Nov".into())
        );
        assert_eq!(
            (style.time(&late), style.time(&reset)),
            ("00:30:07".into(), "1 Dec 00:00 CET".into())
        );
        assert_eq!(style.today(), "2026-11-29");
        assert_eq!(style.moment(&late), "29 Nov 00:30:07 CET");
        let exact = Style {
            exact: true,
            ..style
        };
        assert_eq!(exact.date(&reset), "2026-11-30T23:00:00Z");
    }

    #[test]
    fn bar_is_full_only_where_the_limit_is_used_up() {
        let used = |part: &str| percent(&json!(part), &json!("10"));
        assert_eq!(used("6.25").map(bar).as_deref(), Some("▓▓▓▓▓░░░  62%"));
        assert_eq!(used("10").map(fill_tone), Some(Tone::Bad));
        assert_eq!(used("0").map(bar).as_deref(), Some("░░░░░░░░   0%"));
        assert_eq!(percent(&json!("1"), &json!("0")), None);
    }

    #[test]
    fn paint_without_colour_leaves_the_text() {
        let painted = |color| {
            let style = Style {
                color,
                ..Style::default()
            };
            style.paint(Tone::Bad, "disabled")
        };
        assert_eq!(painted(false), "disabled");
        assert_eq!(painted(true), "\x1b[31mdisabled\x1b[0m");
    }
}
