//! Crockford's base32: codes that people read, type and dictate. No I, L, O or U; small letters and look-alikes are read as what they mean.

/// The digits, by value.
pub(crate) const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The digit of the value's lowest five bits.
pub(crate) fn digit(value: u8) -> char {
    char::from(ALPHABET[usize::from(value & 31)])
}

/// The value of a typed character, in any case, `O` read as 0, `I` and `L` as 1; `None` for what no code contains.
pub(crate) fn value(typed: char) -> Option<u8> {
    let meant = match typed.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    let position = ALPHABET.iter().position(|digit| char::from(*digit) == meant)?;
    u8::try_from(position).ok()
}

/// Whether a typed character only separates groups: a blank, or a hyphen or dash of any kind.
pub(crate) fn separates(typed: char) -> bool {
    typed.is_whitespace() || matches!(typed, '-' | '_' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

/// Digits in groups of `size`, with hyphens between.
pub(crate) fn grouped(digits: &str, size: usize) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / size);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && index % size == 0 {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_read_back_in_any_case_and_look_alikes_as_meant() {
        for expected in 0..32 {
            assert_eq!(value(digit(expected)), Some(expected));
            assert_eq!(value(digit(expected).to_ascii_lowercase()), Some(expected));
        }
        assert_eq!("oOiIlL".chars().map(value).collect::<Vec<_>>(), [Some(0), Some(0), Some(1), Some(1), Some(1), Some(1)]);
        assert!("uU*ß０é-".chars().all(|typed| value(typed).is_none()));
    }

    #[test]
    fn groups_are_even() {
        assert_eq!(grouped("ABCDEFGH", 4), "ABCD-EFGH");
        assert_eq!(grouped("ABCDE", 2), "AB-CD-E");
        assert_eq!(grouped("", 2), "");
    }
}
