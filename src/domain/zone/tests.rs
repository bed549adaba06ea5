//! Tests of window boundaries, hours and clamping, over real time zones and their clock changes.

use super::*;

fn ms(text: &str) -> u64 {
    Zone::parse_rfc3339(text).expect(text)
}

/// Time zone, period, instant, expected start and end of its window; derived by hand from the published zone rules.
const WINDOWS: &str = "
UTC daily 2026-11-23T21:42:00Z 2026-11-23T00:00:00Z 2026-11-24T00:00:00Z
UTC daily 2026-11-23T00:00:00Z 2026-11-23T00:00:00Z 2026-11-24T00:00:00Z
UTC daily 2026-11-23T23:59:59.999Z 2026-11-23T00:00:00Z 2026-11-24T00:00:00Z
UTC daily 2028-02-29T23:59:59Z 2028-02-29T00:00:00Z 2028-03-01T00:00:00Z
UTC daily 2100-02-28T12:00:00Z 2100-02-28T00:00:00Z 2100-03-01T00:00:00Z
UTC weekly 2026-11-23T00:00:00Z 2026-11-23T00:00:00Z 2026-11-30T00:00:00Z
UTC weekly 2026-11-22T23:59:59.999Z 2026-11-16T00:00:00Z 2026-11-23T00:00:00Z
UTC weekly 2026-12-31T12:00:00Z 2026-12-28T00:00:00Z 2027-01-04T00:00:00Z
UTC weekly 2027-01-03T23:59:59Z 2026-12-28T00:00:00Z 2027-01-04T00:00:00Z
UTC monthly 2026-12-31T23:59:59.999Z 2026-12-01T00:00:00Z 2027-01-01T00:00:00Z
UTC monthly 2027-01-01T00:00:00Z 2027-01-01T00:00:00Z 2027-02-01T00:00:00Z
UTC monthly 2026-04-30T23:59:59Z 2026-04-01T00:00:00Z 2026-05-01T00:00:00Z
UTC monthly 2028-02-29T12:00:00Z 2028-02-01T00:00:00Z 2028-03-01T00:00:00Z
UTC monthly 2100-02-28T23:59:59Z 2100-02-01T00:00:00Z 2100-03-01T00:00:00Z
# clock forward, clock back
Europe/Berlin daily 2026-03-29T12:00:00+02:00 2026-03-29T00:00:00+01:00 2026-03-30T00:00:00+02:00
Europe/Berlin daily 2026-10-25T12:00:00+01:00 2026-10-25T00:00:00+02:00 2026-10-26T00:00:00+01:00
Europe/Berlin daily 2026-10-25T02:30:00+01:00 2026-10-25T00:00:00+02:00 2026-10-26T00:00:00+01:00
Europe/Berlin weekly 2026-03-29T23:59:59+02:00 2026-03-23T00:00:00+01:00 2026-03-30T00:00:00+02:00
Europe/Berlin weekly 2028-02-29T12:00:00+01:00 2028-02-28T00:00:00+01:00 2028-03-06T00:00:00+01:00
Europe/Berlin monthly 2026-03-15T00:00:00+01:00 2026-03-01T00:00:00+01:00 2026-04-01T00:00:00+02:00
Europe/Berlin monthly 2026-10-31T23:59:59+01:00 2026-10-01T00:00:00+02:00 2026-11-01T00:00:00+01:00
America/New_York daily 2026-03-08T01:30:00-05:00 2026-03-08T00:00:00-05:00 2026-03-09T00:00:00-04:00
America/New_York daily 2026-11-01T01:30:00-05:00 2026-11-01T00:00:00-04:00 2026-11-02T00:00:00-05:00
America/New_York monthly 2026-11-30T23:59:59-05:00 2026-11-01T00:00:00-04:00 2026-12-01T00:00:00-05:00
# change by half an hour, by two hours
Australia/Lord_Howe daily 2026-10-04T12:00:00+11:00 2026-10-04T00:00:00+10:30 2026-10-05T00:00:00+11:00
Australia/Lord_Howe daily 2026-04-05T12:00:00+10:30 2026-04-05T00:00:00+11:00 2026-04-06T00:00:00+10:30
Australia/Lord_Howe daily 2026-04-05T01:45:00+10:30 2026-04-05T00:00:00+11:00 2026-04-06T00:00:00+10:30
Antarctica/Troll daily 2026-03-29T12:00:00+02:00 2026-03-29T00:00:00+00:00 2026-03-30T00:00:00+02:00
# skipped day: Friday, 30 December 2011; Saturday, 21 August 1993
Pacific/Apia daily 2011-12-29T12:00:00-10:00 2011-12-29T00:00:00-10:00 2011-12-31T00:00:00+14:00
Pacific/Apia daily 2011-12-31T12:00:00+14:00 2011-12-31T00:00:00+14:00 2012-01-01T00:00:00+14:00
Pacific/Apia weekly 2011-12-31T12:00:00+14:00 2011-12-26T00:00:00-10:00 2012-01-02T00:00:00+14:00
Pacific/Apia monthly 2011-12-31T23:59:59+14:00 2011-12-01T00:00:00-10:00 2012-01-01T00:00:00+14:00
Pacific/Kwajalein daily 1993-08-20T12:00:00-12:00 1993-08-20T00:00:00-12:00 1993-08-22T00:00:00+12:00
# midnight skipped: the day begins at its first instant
America/Sao_Paulo daily 2018-11-04T12:00:00-02:00 2018-11-04T01:00:00-02:00 2018-11-05T00:00:00-02:00
America/Sao_Paulo daily 2018-11-03T23:59:59.999-03:00 2018-11-03T00:00:00-03:00 2018-11-04T01:00:00-02:00
Asia/Beirut daily 2026-03-29T10:00:00+03:00 2026-03-29T01:00:00+03:00 2026-03-30T00:00:00+03:00
Africa/Cairo daily 2026-04-24T12:00:00+03:00 2026-04-24T01:00:00+03:00 2026-04-25T00:00:00+03:00
America/Havana daily 2026-03-08T12:00:00-04:00 2026-03-08T01:00:00-04:00 2026-03-09T00:00:00-04:00
America/Asuncion monthly 2017-10-15T12:00:00-03:00 2017-10-01T01:00:00-03:00 2017-11-01T00:00:00-03:00
# hour before midnight repeated; midnight repeated; clock set back across midnight
America/Sao_Paulo daily 2019-02-16T23:30:00-03:00 2019-02-16T00:00:00-02:00 2019-02-17T00:00:00-03:00
Africa/Cairo daily 2026-10-29T23:30:00+02:00 2026-10-29T00:00:00+03:00 2026-10-30T00:00:00+02:00
Atlantic/Azores daily 2026-10-25T00:30:00-01:00 2026-10-25T00:00:00+00:00 2026-10-26T00:00:00-01:00
America/St_Johns daily 2010-11-06T23:30:00-03:30 2010-11-07T00:00:00-02:30 2010-11-08T00:00:00-03:30
# far from UTC, and unusual offsets
Pacific/Kiritimati daily 2026-11-23T11:00:00Z 2026-11-24T00:00:00+14:00 2026-11-25T00:00:00+14:00
Pacific/Kiritimati monthly 2026-12-31T10:00:00Z 2027-01-01T00:00:00+14:00 2027-02-01T00:00:00+14:00
Etc/GMT+12 daily 2026-11-23T11:59:59Z 2026-11-22T00:00:00-12:00 2026-11-23T00:00:00-12:00
Etc/GMT+12 weekly 2026-11-23T11:59:59Z 2026-11-16T00:00:00-12:00 2026-11-23T00:00:00-12:00
Asia/Kathmandu daily 2026-11-23T18:15:00Z 2026-11-24T00:00:00+05:45 2026-11-25T00:00:00+05:45
Asia/Kolkata monthly 2026-11-30T18:29:59Z 2026-11-01T00:00:00+05:30 2026-12-01T00:00:00+05:30
Pacific/Chatham daily 2026-09-27T12:00:00+13:45 2026-09-27T00:00:00+12:45 2026-09-28T00:00:00+13:45
";

#[test]
fn window_boundaries_follow_the_time_zone() {
    let rows = WINDOWS
        .lines()
        .filter(|row| !row.is_empty() && !row.starts_with('#'));
    for row in rows {
        let [zone, period, at, start, end] = row.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{row}")
        };
        let period = Period::parse(period).expect(row);
        let window = Zone::parse(zone).expect(zone).window(period, ms(at));
        assert_eq!(
            (window.start_ms, window.end_ms),
            (ms(start), ms(end)),
            "{zone} {period:?} {at}"
        );
    }
}

#[test]
fn total_period_has_one_unbounded_window() {
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
fn hour_with_clock_change_is_split() {
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

/// Every instant lies in its window and each window begins where the previous one ends, so nothing counts twice or never.
#[test]
fn consecutive_windows_have_no_gap_or_overlap() {
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
            // steps of about three weeks, at a varying time of day
            let at_ms = from_ms + step * 1_900_123_457;
            for cut in cuts {
                let window = cut(at_ms);
                assert!(window.contains(at_ms), "{name} {at_ms}: {window:?}");
                assert_eq!(cut(window.start_ms), window, "{name}: first instant");
                assert_eq!(cut(window.end_ms - 1), window, "{name}: last instant");
                assert_eq!(
                    cut(window.end_ms).start_ms,
                    window.end_ms,
                    "{name}: next window"
                );
            }
        }
    }
}

#[test]
fn hour_starts_at_the_local_hour() {
    let hour = Zone::parse("Asia/Kolkata")
        .expect("zone")
        .hour(ms("2026-11-23T10:45:10Z"));
    assert_eq!(hour.start_ms, ms("2026-11-23T10:30:00Z"));
}

#[test]
fn instant_outside_the_supported_range_is_clamped() {
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
fn unknown_zone_is_none() {
    assert!(Zone::parse("Mars/Olympus").is_none());
}
