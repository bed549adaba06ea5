//! Canonical JSON (JCS, RFC 8785): members sorted by UTF-16 code units, no white space, strings and numbers as ECMAScript writes them.
//! Two equal values have equal bytes, so a hash of the bytes is a hash of the value.

use std::fmt::Write;

use serde_json::{Map, Number, Value};

/// The canonical text of a value.
pub fn canonical(value: &Value) -> String {
    let mut text = String::with_capacity(256);
    write_value(value, &mut text);
    text
}

fn write_value(value: &Value, into: &mut String) {
    match value {
        Value::Null => into.push_str("null"),
        Value::Bool(flag) => into.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => write_number(number, into),
        Value::String(text) => write_string(text, into),
        Value::Array(items) => {
            into.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    into.push(',');
                }
                write_value(item, into);
            }
            into.push(']');
        }
        Value::Object(members) => write_object(members, into),
    }
}

fn write_object(members: &Map<String, Value>, into: &mut String) {
    let mut sorted: Vec<(&String, &Value)> = members.iter().collect();
    sorted.sort_by(|(one, _), (other, _)| one.encode_utf16().cmp(other.encode_utf16()));
    into.push('{');
    for (index, (name, value)) in sorted.into_iter().enumerate() {
        if index > 0 {
            into.push(',');
        }
        write_string(name, into);
        into.push(':');
        write_value(value, into);
    }
    into.push('}');
}

fn write_string(text: &str, into: &mut String) {
    into.push('"');
    for letter in text.chars() {
        match letter {
            '"' => into.push_str("\\\""),
            '\\' => into.push_str("\\\\"),
            '\u{8}' => into.push_str("\\b"),
            '\t' => into.push_str("\\t"),
            '\n' => into.push_str("\\n"),
            '\u{c}' => into.push_str("\\f"),
            '\r' => into.push_str("\\r"),
            control if control < ' ' => {
                // writing to a String cannot fail
                let _ = write!(into, "\\u{:04x}", u32::from(control));
            }
            other => into.push(other),
        }
    }
    into.push('"');
}

/// Numbers are IEEE 754 doubles in this form, and integers beyond 2^53 lose digits: the caller writes those as strings.
fn write_number(number: &Number, into: &mut String) {
    match number.as_f64() {
        Some(0.0) | None => into.push('0'),
        Some(double) => write_double(double, into),
    }
}

/// `Number::toString` of ECMAScript, from the shortest digits that read back as the same double.
fn write_double(double: f64, into: &mut String) {
    let shortest = format!("{:e}", double.abs());
    let count = shortest
        .split('e')
        .next()
        .map_or(1, |mantissa| mantissa.replace('.', "").len());
    // of two shortest forms that are equally close, the even one
    let scientific = format!("{:.*e}", count - 1, double.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let count = digits.len() as i32;
    // position of the decimal point, counted from the first digit
    let point = exponent.parse::<i32>().unwrap_or(0) + 1;
    if double < 0.0 {
        into.push('-');
    }
    match point {
        _ if (count..=21).contains(&point) => {
            into.push_str(&digits);
            into.extend(std::iter::repeat_n('0', (point - count) as usize));
        }
        1..=21 => {
            let (whole, part) = digits.split_at(point as usize);
            into.push_str(whole);
            into.push('.');
            into.push_str(part);
        }
        -5..=0 => {
            into.push_str("0.");
            into.extend(std::iter::repeat_n('0', -point as usize));
            into.push_str(&digits);
        }
        _ => write_exponent(&digits, point - 1, into),
    }
}

fn write_exponent(digits: &str, exponent: i32, into: &mut String) {
    let (first, rest) = digits.split_at(1);
    into.push_str(first);
    if !rest.is_empty() {
        into.push('.');
        into.push_str(rest);
    }
    // writing to a String cannot fail
    let _ = write!(into, "e{exponent:+}");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(text: &str) -> String {
        canonical(&serde_json::from_str(text).expect("JSON"))
    }

    #[test]
    fn canonical_json_equals_the_examples_of_rfc_8785() {
        // section 3.2.2 and 3.2.3
        let sample = r#"{"numbers":[333333333.3333333,1E30,4.50,2e-3,0.000000000000000000000000001],
            "string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}"#;
        assert_eq!(
            of(sample),
            r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}"#
        );
        let sorted = r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One",
            "\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#;
        let names = [
            "\\r\":\"Carriage",
            "1\":",
            "\u{80}\":",
            "ö\":",
            "€\":",
            "😀\":",
            "\u{fb33}\":",
        ];
        let text = of(sorted);
        let places: Vec<usize> = names
            .iter()
            .map(|name| text.find(name).expect("a member"))
            .collect();
        assert!(places.is_sorted(), "{text}");
    }

    #[test]
    fn canonical_numbers_equal_appendix_b_of_rfc_8785() {
        for (bits, expected) in [
            (0x0000_0000_0000_0000, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0x41b3_de43_5555_5554, "333333333.33333325"),
            (0x41b3_de43_5555_5555, "333333333.3333333"),
            (0x41b3_de43_5555_5556, "333333333.3333334"),
            (0x41b3_de43_5555_5557, "333333333.33333343"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ] {
            let double = f64::from_bits(bits);
            assert_eq!(canonical(&json!(double)), expected, "{bits:x}");
        }
    }

    #[test]
    fn integers_of_events_are_written_as_they_are() {
        assert_eq!(
            of(r#"{"seq":1,"at_ms":1795428000000,"amount":-5}"#),
            r#"{"amount":-5,"at_ms":1795428000000,"seq":1}"#
        );
    }
}
