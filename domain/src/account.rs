//! Accounts: how somebody signs in, by which road a one-time link came, and which passwords are good enough.
//!
//! Always true here: a link proves the e-mail address only if it was mailed to it, because anybody can type any address into an order.

use unicode_normalization::UnicodeNormalization;

use crate::refusal::{Code, Reason};
use crate::text::{Email, fold};

/// Fewest characters of a password.
pub const MIN_PASSWORD: usize = 10;
/// Most characters of a password.
pub const MAX_PASSWORD: usize = 200;

named! {
    /// How a one-time link reaches its bearer.
    pub enum Road {
        /// Shown on the receipt of a guest's order: signs in to the account that the order made.
        Receipt = "RECEIPT",
        /// Mailed to the account's address: proves the address too.
        Mail = "MAIL",
        /// Printed for the operator at the first start.
        Operator = "OPERATOR",
    }
}

impl Road {
    /// Whether following the link proves that the address is the bearer's.
    pub const fn verifies_email(self) -> bool {
        matches!(self, Self::Mail)
    }
}

named! {
    /// What a service key is for.
    pub enum KeyRole {
        /// Acts as an operator.
        Operator = "OPERATOR",
        /// Acts as the manager of one company.
        Manager = "MANAGER",
        /// A program of the shop with just the scopes it needs.
        Service = "SERVICE",
    }
}

/// Why a password is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordRefusal {
    /// Shorter than [`MIN_PASSWORD`].
    #[error("The password is too short; take {MIN_PASSWORD} characters or more, such as a few words in a row.")]
    Short,
    /// Longer than [`MAX_PASSWORD`].
    #[error("The password is too long; take {MAX_PASSWORD} characters at most.")]
    Long,
    /// The e-mail address, or what stands before its @.
    #[error("The password is your e-mail address; take something that others do not know.")]
    Email,
    /// One that is tried first.
    #[error("The password is one that is tried first; take a less usual one, such as a few words in a row.")]
    Common,
}

impl Reason for PasswordRefusal {
    fn code(&self) -> Code {
        match self {
            Self::Long => Code::TooLong,
            Self::Short | Self::Email | Self::Common => Code::PasswordTooWeak,
        }
    }
}

/// Checks a new password for the account with this address, and gives the form that is hashed: composed (NFC), so that it is the same from
/// every keyboard. Nothing is trimmed.
///
/// # Errors
/// [`PasswordRefusal`].
pub fn new_password(text: &str, email: &Email) -> Result<String, PasswordRefusal> {
    // No work is spent on what is far too long.
    if text.len() > MAX_PASSWORD * 16 {
        return Err(PasswordRefusal::Long);
    }
    let password = password_form(text);
    let length = password.chars().count();
    if length < MIN_PASSWORD {
        return Err(PasswordRefusal::Short);
    }
    if length > MAX_PASSWORD {
        return Err(PasswordRefusal::Long);
    }
    let folded = fold(password.trim());
    let local = email.normalised().rsplit_once('@').map_or("", |(local, _)| local);
    if folded == fold(email.normalised()) || folded == fold(local) {
        return Err(PasswordRefusal::Email);
    }
    if is_common(&folded) {
        return Err(PasswordRefusal::Common);
    }
    Ok(password)
}

/// The form of a password that is hashed and compared.
pub fn password_form(text: &str) -> String {
    text.nfc().collect()
}

/// The most used passwords that are long enough for the rule above; shorter ones need no list.
const COMMON: [&str; 40] = [
    "0123456789",
    "0987654321",
    "1029384756",
    "1122334455",
    "1234512345",
    "1234567890",
    "12345678910",
    "1234567891",
    "123456789a",
    "123456789q",
    "1q2w3e4r5t",
    "1q2w3e4r5t6y",
    "1qaz2wsx3edc",
    "9876543210",
    "a123456789",
    "abcdefghij",
    "administrator",
    "asdfghjkl1",
    "asdfghjkl;",
    "changeme123",
    "iloveyou123",
    "letmein123",
    "michelle12",
    "password10",
    "password11",
    "password12",
    "password123",
    "password1234",
    "password123!",
    "passwordpassword",
    "q1w2e3r4t5",
    "qazwsxedcrfv",
    "qwer1234567",
    "qwerty1234",
    "qwerty12345",
    "qwerty123456",
    "qwertyuiop",
    "qwertyuiop[]",
    "welcome123",
    "zxcvbnm123",
];

fn is_common(folded: &str) -> bool {
    let mut characters = folded.chars();
    let first = characters.next();
    COMMON.contains(&folded) || characters.all(|character| Some(character) == first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(password: &str, expected: Result<(), PasswordRefusal>) {
        let email = Email::parse("Ada.Lovelace@example.org").expect("an address");
        assert_eq!(new_password(password, &email).map(|_| ()), expected, "{password:?}");
    }

    #[test]
    fn a_password_has_ten_to_two_hundred_characters() {
        check("", Err(PasswordRefusal::Short));
        check("nine chars".get(..9).expect("nine"), Err(PasswordRefusal::Short));
        check("ten chars!", Ok(()));
        // Characters, not bytes.
        check("ééééééééé", Err(PasswordRefusal::Short));
        check("éèéèéèéèéè", Ok(()));
        check(&"ab".repeat(100), Ok(()));
        check(&format!("{}c", "ab".repeat(100)), Err(PasswordRefusal::Long));
        check(&"x y".repeat(1_000_000), Err(PasswordRefusal::Long));
    }

    #[test]
    fn what_is_tried_first_is_no_password() {
        for password in ["1234567890", "PASSWORD123", "qwertyuiop", "aaaaaaaaaaaa", "ＱＷＥＲＴＹＵＩＯＰ"] {
            check(password, Err(PasswordRefusal::Common));
        }
        check("ada.lovelace@EXAMPLE.org", Err(PasswordRefusal::Email));
        check("Ada.Lovelace", Err(PasswordRefusal::Email));
        check("Ada.Lovelace wrote the first program", Ok(()));
    }

    #[test]
    fn a_password_is_the_same_from_every_keyboard() {
        let email = Email::parse("a@example.org").expect("an address");
        assert_eq!(new_password("pe\u{301}nelope waits", &email), new_password("p\u{e9}nelope waits", &email));
        assert_eq!(new_password("  two blanks  ", &email).as_deref(), Ok("  two blanks  "));
    }

    #[test]
    fn only_a_mailed_link_proves_the_address() {
        assert_eq!(Road::ALL.iter().filter(|road| road.verifies_email()).copied().collect::<Vec<_>>(), [Road::Mail]);
    }
}
