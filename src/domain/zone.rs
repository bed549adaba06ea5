//! Where an hour, a day, a week or a month begins: in the one time zone of the instance, from bundled zone data.

use jiff::civil::{Date, Weekday};
use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, ZonedDateTime};

use crate::domain::budget::Period;

/// The instance's time zone.
#[derive(Clone, Debug)]
pub struct Zone(TimeZone);

/// One window of a budget or roll-up: `start_ms <= instant < end_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub start_ms: u64,
    pub end_ms: u64,
}

impl Window {
    /// The only window of a `total` budget.
    pub const ALWAYS: Window = Window {
        start_ms: 0,
        end_ms: u64::MAX,
    };

    pub fn contains(self, at_ms: u64) -> bool {
        self.start_ms <= at_ms && at_ms < self.end_ms
    }
}

impl Zone {
    pub fn utc() -> Zone {
        Zone(TimeZone::UTC)
    }

    /// Finds an IANA zone by name; `None` if there is no such zone.
    pub fn parse(name: &str) -> Option<Zone> {
        TimeZone::get(name).ok().map(Zone)
    }

    /// Its IANA name.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// The window of a budget's period that an instant falls into.
    pub fn window(&self, period: Period, at_ms: u64) -> Window {
        match period {
            Period::Total => Window::ALWAYS,
            Period::Daily => self.day(at_ms),
            Period::Weekly => self.span(at_ms, |date| {
                let start = date
                    .nth_weekday(-1, Weekday::Monday)
                    .map_or(date, |monday| {
                        if date.weekday() == Weekday::Monday {
                            date
                        } else {
                            monday
                        }
                    });
                (start, start.saturating_add(7.days()))
            }),
            Period::Monthly => self.month(at_ms),
        }
    }

    pub fn day(&self, at_ms: u64) -> Window {
        self.span(at_ms, |date| (date, date.saturating_add(1.day())))
    }

    pub fn month(&self, at_ms: u64) -> Window {
        self.span(at_ms, |date| {
            (
                date.first_of_month(),
                date.first_of_month().saturating_add(1.month()),
            )
        })
    }

    /// The clock hour: whole hours of local time, so that a zone of half an hour's offset is cut at its own hours. A clock
    /// change in the middle of an hour cuts it in two.
    pub fn hour(&self, at_ms: u64) -> Window {
        const HOUR_MS: u64 = 3_600_000;
        let zoned = self.at(at_ms);
        let into_ms = i64::from(zoned.minute()) * 60_000
            + i64::from(zoned.second()) * 1_000
            + i64::from(zoned.millisecond());
        let start_ms = at_ms.saturating_sub(into_ms.unsigned_abs());
        let mut hour = Window {
            start_ms,
            end_ms: start_ms.saturating_add(HOUR_MS),
        };
        let changed = |other_ms| self.at(other_ms).offset() != zoned.offset();
        if changed(hour.start_ms) {
            let change = self.0.preceding(zoned.timestamp() + 1.nanosecond()).next();
            hour.start_ms = change.map_or(hour.start_ms, |change| millis(change.timestamp()));
        }
        if changed(hour.end_ms - 1) {
            let change = self.0.following(zoned.timestamp()).next();
            hour.end_ms = change.map_or(hour.end_ms, |change| millis(change.timestamp()));
        }
        hour
    }

    /// The first instant of a date written `2026-11-01`; of one that no clock can show, the first or the last instant that can
    /// be: `9999-12-31` is written for "no end".
    pub fn date_start_ms(&self, date: &str) -> Option<u64> {
        let date: Date = date.parse().ok()?;
        Some(self.start_of(date))
    }

    /// The local date of an instant, written as `date_start_ms` reads it.
    pub fn date(&self, at_ms: u64) -> String {
        self.at(at_ms).date().to_string()
    }

    /// RFC 3339 in UTC, to the millisecond where there is one.
    pub fn rfc3339(&self, at_ms: u64) -> String {
        timestamp(at_ms).to_string()
    }

    /// Reads RFC 3339 with an offset; what no clock can show is moved like a date.
    pub fn parse_rfc3339(text: &str) -> Option<u64> {
        match text.parse() {
            Ok(at) => Some(millis(at)),
            Err(_) => {
                let pieces = Pieces::parse(text).ok()?;
                let written = pieces.time().is_some() && pieces.offset().is_some();
                written.then(|| beyond(pieces.date()))
            }
        }
    }

    fn at(&self, at_ms: u64) -> ZonedDateTime {
        timestamp(at_ms).to_zoned_datetime(self.0.clone())
    }

    fn span(&self, at_ms: u64, cut: impl Fn(Date) -> (Date, Date)) -> Window {
        let (from, to) = cut(self.day_of(at_ms));
        Window {
            start_ms: self.start_of(from),
            end_ms: self.start_of(to),
        }
    }

    /// The day whose first instant has come last: where a clock change just after midnight leads back over it, the new day
    /// has begun all the same.
    fn day_of(&self, at_ms: u64) -> Date {
        let date = self.at(at_ms).date();
        let next = date.saturating_add(1.day());
        if self.start_of(next) <= at_ms {
            next
        } else {
            date
        }
    }

    /// Midnight, or the first instant after it where a clock change skips midnight.
    fn start_of(&self, date: Date) -> u64 {
        date.to_zoned_datetime(self.0.clone())
            .ok()
            .and_then(|midnight| midnight.start_of_day().ok())
            .map_or_else(|| beyond(date), |start| millis(start.timestamp()))
    }
}

/// 9999-12-30T22:00:00Z, the last second that every zone can show.
const LAST_MS: u64 = 253_402_207_200_000;

/// For a date outside of what can be shown: the end that it lies behind.
fn beyond(date: Date) -> u64 {
    if date.year() > 0 { LAST_MS } else { 0 }
}

/// Before 1970 nothing was used.
fn millis(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).map_or(0, |ms| ms.min(LAST_MS))
}

/// Beyond what a calendar can show the last instant it can.
fn timestamp(at_ms: u64) -> Timestamp {
    i64::try_from(at_ms.min(LAST_MS))
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> u64 {
        Zone::parse_rfc3339(text).expect(text)
    }

    /// By hand, from the rules of the zones as they were published.
    #[test]
    fn windows_are_cut_in_the_zone_of_the_instance() {
        for (zone, period, at, start, end) in [
            (
                "UTC",
                Period::Daily,
                "2026-11-23T21:42:00Z",
                "2026-11-23T00:00:00Z",
                "2026-11-24T00:00:00Z",
            ),
            (
                "UTC",
                Period::Daily,
                "2026-11-23T00:00:00Z",
                "2026-11-23T00:00:00Z",
                "2026-11-24T00:00:00Z",
            ),
            (
                "UTC",
                Period::Daily,
                "2026-11-23T23:59:59.999Z",
                "2026-11-23T00:00:00Z",
                "2026-11-24T00:00:00Z",
            ),
            (
                "UTC",
                Period::Daily,
                "2028-02-29T23:59:59Z",
                "2028-02-29T00:00:00Z",
                "2028-03-01T00:00:00Z",
            ),
            (
                "UTC",
                Period::Daily,
                "2100-02-28T12:00:00Z",
                "2100-02-28T00:00:00Z",
                "2100-03-01T00:00:00Z",
            ),
            (
                "UTC",
                Period::Weekly,
                "2026-11-23T00:00:00Z",
                "2026-11-23T00:00:00Z",
                "2026-11-30T00:00:00Z",
            ),
            (
                "UTC",
                Period::Weekly,
                "2026-11-22T23:59:59.999Z",
                "2026-11-16T00:00:00Z",
                "2026-11-23T00:00:00Z",
            ),
            (
                "UTC",
                Period::Weekly,
                "2026-12-31T12:00:00Z",
                "2026-12-28T00:00:00Z",
                "2027-01-04T00:00:00Z",
            ),
            (
                "UTC",
                Period::Weekly,
                "2027-01-03T23:59:59Z",
                "2026-12-28T00:00:00Z",
                "2027-01-04T00:00:00Z",
            ),
            (
                "UTC",
                Period::Monthly,
                "2026-12-31T23:59:59.999Z",
                "2026-12-01T00:00:00Z",
                "2027-01-01T00:00:00Z",
            ),
            (
                "UTC",
                Period::Monthly,
                "2027-01-01T00:00:00Z",
                "2027-01-01T00:00:00Z",
                "2027-02-01T00:00:00Z",
            ),
            (
                "UTC",
                Period::Monthly,
                "2026-04-30T23:59:59Z",
                "2026-04-01T00:00:00Z",
                "2026-05-01T00:00:00Z",
            ),
            (
                "UTC",
                Period::Monthly,
                "2028-02-29T12:00:00Z",
                "2028-02-01T00:00:00Z",
                "2028-03-01T00:00:00Z",
            ),
            (
                "UTC",
                Period::Monthly,
                "2100-02-28T23:59:59Z",
                "2100-02-01T00:00:00Z",
                "2100-03-01T00:00:00Z",
            ),
            // the clocks go forward, and back
            (
                "Europe/Berlin",
                Period::Daily,
                "2026-03-29T12:00:00+02:00",
                "2026-03-29T00:00:00+01:00",
                "2026-03-30T00:00:00+02:00",
            ),
            (
                "Europe/Berlin",
                Period::Daily,
                "2026-10-25T12:00:00+01:00",
                "2026-10-25T00:00:00+02:00",
                "2026-10-26T00:00:00+01:00",
            ),
            (
                "Europe/Berlin",
                Period::Daily,
                "2026-10-25T02:30:00+01:00",
                "2026-10-25T00:00:00+02:00",
                "2026-10-26T00:00:00+01:00",
            ),
            (
                "Europe/Berlin",
                Period::Weekly,
                "2026-03-29T23:59:59+02:00",
                "2026-03-23T00:00:00+01:00",
                "2026-03-30T00:00:00+02:00",
            ),
            (
                "Europe/Berlin",
                Period::Weekly,
                "2028-02-29T12:00:00+01:00",
                "2028-02-28T00:00:00+01:00",
                "2028-03-06T00:00:00+01:00",
            ),
            (
                "Europe/Berlin",
                Period::Monthly,
                "2026-03-15T00:00:00+01:00",
                "2026-03-01T00:00:00+01:00",
                "2026-04-01T00:00:00+02:00",
            ),
            (
                "Europe/Berlin",
                Period::Monthly,
                "2026-10-31T23:59:59+01:00",
                "2026-10-01T00:00:00+02:00",
                "2026-11-01T00:00:00+01:00",
            ),
            (
                "America/New_York",
                Period::Daily,
                "2026-03-08T01:30:00-05:00",
                "2026-03-08T00:00:00-05:00",
                "2026-03-09T00:00:00-04:00",
            ),
            (
                "America/New_York",
                Period::Daily,
                "2026-11-01T01:30:00-05:00",
                "2026-11-01T00:00:00-04:00",
                "2026-11-02T00:00:00-05:00",
            ),
            (
                "America/New_York",
                Period::Monthly,
                "2026-11-30T23:59:59-05:00",
                "2026-11-01T00:00:00-04:00",
                "2026-12-01T00:00:00-05:00",
            ),
            // by half an hour, by two hours
            (
                "Australia/Lord_Howe",
                Period::Daily,
                "2026-10-04T12:00:00+11:00",
                "2026-10-04T00:00:00+10:30",
                "2026-10-05T00:00:00+11:00",
            ),
            (
                "Australia/Lord_Howe",
                Period::Daily,
                "2026-04-05T12:00:00+10:30",
                "2026-04-05T00:00:00+11:00",
                "2026-04-06T00:00:00+10:30",
            ),
            (
                "Australia/Lord_Howe",
                Period::Daily,
                "2026-04-05T01:45:00+10:30",
                "2026-04-05T00:00:00+11:00",
                "2026-04-06T00:00:00+10:30",
            ),
            (
                "Antarctica/Troll",
                Period::Daily,
                "2026-03-29T12:00:00+02:00",
                "2026-03-29T00:00:00+00:00",
                "2026-03-30T00:00:00+02:00",
            ),
            // a day that was left out: Friday, 30 December 2011; Saturday, 21 August 1993
            (
                "Pacific/Apia",
                Period::Daily,
                "2011-12-29T12:00:00-10:00",
                "2011-12-29T00:00:00-10:00",
                "2011-12-31T00:00:00+14:00",
            ),
            (
                "Pacific/Apia",
                Period::Daily,
                "2011-12-31T12:00:00+14:00",
                "2011-12-31T00:00:00+14:00",
                "2012-01-01T00:00:00+14:00",
            ),
            (
                "Pacific/Apia",
                Period::Weekly,
                "2011-12-31T12:00:00+14:00",
                "2011-12-26T00:00:00-10:00",
                "2012-01-02T00:00:00+14:00",
            ),
            (
                "Pacific/Apia",
                Period::Monthly,
                "2011-12-31T23:59:59+14:00",
                "2011-12-01T00:00:00-10:00",
                "2012-01-01T00:00:00+14:00",
            ),
            (
                "Pacific/Kwajalein",
                Period::Daily,
                "1993-08-20T12:00:00-12:00",
                "1993-08-20T00:00:00-12:00",
                "1993-08-22T00:00:00+12:00",
            ),
            // no midnight: the day begins at its first instant
            (
                "America/Sao_Paulo",
                Period::Daily,
                "2018-11-04T12:00:00-02:00",
                "2018-11-04T01:00:00-02:00",
                "2018-11-05T00:00:00-02:00",
            ),
            (
                "America/Sao_Paulo",
                Period::Daily,
                "2018-11-03T23:59:59.999-03:00",
                "2018-11-03T00:00:00-03:00",
                "2018-11-04T01:00:00-02:00",
            ),
            (
                "Asia/Beirut",
                Period::Daily,
                "2026-03-29T10:00:00+03:00",
                "2026-03-29T01:00:00+03:00",
                "2026-03-30T00:00:00+03:00",
            ),
            (
                "Africa/Cairo",
                Period::Daily,
                "2026-04-24T12:00:00+03:00",
                "2026-04-24T01:00:00+03:00",
                "2026-04-25T00:00:00+03:00",
            ),
            (
                "America/Havana",
                Period::Daily,
                "2026-03-08T12:00:00-04:00",
                "2026-03-08T01:00:00-04:00",
                "2026-03-09T00:00:00-04:00",
            ),
            (
                "America/Asuncion",
                Period::Monthly,
                "2017-10-15T12:00:00-03:00",
                "2017-10-01T01:00:00-03:00",
                "2017-11-01T00:00:00-03:00",
            ),
            // the hour before midnight twice; midnight twice; back over midnight
            (
                "America/Sao_Paulo",
                Period::Daily,
                "2019-02-16T23:30:00-03:00",
                "2019-02-16T00:00:00-02:00",
                "2019-02-17T00:00:00-03:00",
            ),
            (
                "Africa/Cairo",
                Period::Daily,
                "2026-10-29T23:30:00+02:00",
                "2026-10-29T00:00:00+03:00",
                "2026-10-30T00:00:00+02:00",
            ),
            (
                "Atlantic/Azores",
                Period::Daily,
                "2026-10-25T00:30:00-01:00",
                "2026-10-25T00:00:00+00:00",
                "2026-10-26T00:00:00-01:00",
            ),
            (
                "America/St_Johns",
                Period::Daily,
                "2010-11-06T23:30:00-03:30",
                "2010-11-07T00:00:00-02:30",
                "2010-11-08T00:00:00-03:30",
            ),
            // far from UTC, and at odd offsets
            (
                "Pacific/Kiritimati",
                Period::Daily,
                "2026-11-23T11:00:00Z",
                "2026-11-24T00:00:00+14:00",
                "2026-11-25T00:00:00+14:00",
            ),
            (
                "Pacific/Kiritimati",
                Period::Monthly,
                "2026-12-31T10:00:00Z",
                "2027-01-01T00:00:00+14:00",
                "2027-02-01T00:00:00+14:00",
            ),
            (
                "Etc/GMT+12",
                Period::Daily,
                "2026-11-23T11:59:59Z",
                "2026-11-22T00:00:00-12:00",
                "2026-11-23T00:00:00-12:00",
            ),
            (
                "Etc/GMT+12",
                Period::Weekly,
                "2026-11-23T11:59:59Z",
                "2026-11-16T00:00:00-12:00",
                "2026-11-23T00:00:00-12:00",
            ),
            (
                "Asia/Kathmandu",
                Period::Daily,
                "2026-11-23T18:15:00Z",
                "2026-11-24T00:00:00+05:45",
                "2026-11-25T00:00:00+05:45",
            ),
            (
                "Asia/Kolkata",
                Period::Monthly,
                "2026-11-30T18:29:59Z",
                "2026-11-01T00:00:00+05:30",
                "2026-12-01T00:00:00+05:30",
            ),
            (
                "Pacific/Chatham",
                Period::Daily,
                "2026-09-27T12:00:00+13:45",
                "2026-09-27T00:00:00+12:45",
                "2026-09-28T00:00:00+13:45",
            ),
        ] {
            let window = Zone::parse(zone).expect(zone).window(period, ms(at));
            assert_eq!(
                (window.start_ms, window.end_ms),
                (ms(start), ms(end)),
                "{zone} {period:?} {at}"
            );
        }
    }

    #[test]
    fn a_total_has_one_window_and_no_end() {
        for zone in ["UTC", "Pacific/Apia"] {
            for at_ms in [0, ms("2011-12-30T10:00:00Z"), u64::MAX] {
                assert_eq!(
                    Zone::parse(zone).expect(zone).window(Period::Total, at_ms),
                    Window {
                        start_ms: 0,
                        end_ms: u64::MAX
                    }
                );
            }
        }
    }

    #[test]
    fn an_hour_in_which_the_clock_changes_is_cut_there() {
        for (at, start, end) in [
            (
                "2026-04-05T01:45:00+11:00",
                "2026-04-05T01:00:00+11:00",
                "2026-04-05T02:00:00+11:00",
            ),
            (
                "2026-04-05T01:45:00+10:30",
                "2026-04-05T01:30:00+10:30",
                "2026-04-05T02:00:00+10:30",
            ),
            (
                "2026-10-04T01:59:00+10:30",
                "2026-10-04T01:00:00+10:30",
                "2026-10-04T02:00:00+10:30",
            ),
            (
                "2026-10-04T02:45:00+11:00",
                "2026-10-04T02:30:00+11:00",
                "2026-10-04T03:00:00+11:00",
            ),
        ] {
            let hour = Zone::parse("Australia/Lord_Howe")
                .expect("a zone")
                .hour(ms(at));
            assert_eq!((hour.start_ms, hour.end_ms), (ms(start), ms(end)), "{at}");
        }
    }

    /// Every instant lies in its window, and where one ends the next begins: nothing is counted twice or not at all.
    #[test]
    fn windows_leave_no_gap_and_do_not_overlap() {
        let zones = "UTC Europe/Berlin America/New_York Australia/Lord_Howe Pacific/Apia America/Sao_Paulo America/Asuncion \
                     Asia/Beirut Africa/Cairo Africa/Casablanca America/Havana America/St_Johns Atlantic/Azores America/Nuuk \
                     Antarctica/Troll Asia/Tehran Pacific/Chatham Pacific/Kwajalein";
        let from_ms = ms("1993-01-01T00:00:00Z");
        for name in zones.split(' ').filter(|name| !name.is_empty()) {
            let zone = Zone::parse(name).expect(name);
            let week = |at_ms| zone.window(Period::Weekly, at_ms);
            let cuts: [&dyn Fn(u64) -> Window; 4] =
                [&|at| zone.hour(at), &|at| zone.day(at), &week, &|at| {
                    zone.month(at)
                }];
            for step in 0..700 {
                // some three weeks, and a little more each time
                let at_ms = from_ms + step * 1_900_123_457;
                for cut in cuts {
                    let window = cut(at_ms);
                    assert!(window.contains(at_ms), "{name} {at_ms}: {window:?}");
                    assert_eq!(cut(window.start_ms), window, "{name}: its first instant");
                    assert_eq!(cut(window.end_ms - 1), window, "{name}: its last instant");
                    assert_eq!(
                        cut(window.end_ms).start_ms,
                        window.end_ms,
                        "{name}: the next one"
                    );
                }
            }
        }
    }

    #[test]
    fn an_hour_is_cut_at_the_local_hour() {
        let hour = Zone::parse("Asia/Kolkata")
            .expect("zone")
            .hour(ms("2026-11-23T10:45:10Z"));
        assert_eq!(hour.start_ms, ms("2026-11-23T10:30:00Z"));
    }

    #[test]
    fn what_no_clock_can_show_is_the_first_or_the_last_instant() {
        for zone in ["UTC", "Pacific/Kiritimati", "Etc/GMT+12", "Asia/Kolkata"] {
            let zone = Zone::parse(zone).expect(zone);
            let last = zone.date_start_ms("9999-12-31").expect("a date");
            assert!(
                (ms("9999-12-30T00:00:00Z")..=LAST_MS).contains(&last),
                "{zone:?}: {last}"
            );
            assert!(
                zone.day(last).start_ms <= last && zone.hour(last).start_ms <= last,
                "{zone:?}"
            );
            assert_eq!(zone.date_start_ms("0001-01-01"), Some(0));
        }
        assert_eq!(Zone::utc().date_start_ms("9999-12-31"), Some(LAST_MS));
        for text in [
            "9999-12-31T23:59:59Z",
            "9999-12-31T23:59:59.999+02:00",
            "9999-12-30T22:00:00Z",
        ] {
            assert_eq!(Zone::parse_rfc3339(text), Some(LAST_MS), "{text}");
        }
        assert_eq!(Zone::parse_rfc3339("1969-07-20T20:17:40Z"), Some(0));
        for text in [
            "9999-12-31",
            "9999-12-31T23:59:59",
            "9999-12-32T00:00:00Z",
            "for ever",
            "",
        ] {
            assert_eq!(Zone::parse_rfc3339(text), None, "{text}");
        }
        assert_eq!(Zone::utc().rfc3339(u64::MAX), "9999-12-30T22:00:00Z");
    }

    #[test]
    fn an_unknown_zone_is_not_found() {
        assert!(Zone::parse("Mars/Olympus").is_none());
    }
}
