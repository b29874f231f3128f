//! Enrolling without a cart: whether somebody is let in, has the access already, or has to pay first; and what a row of an import comes to.
//!
//! Always true here: without a bypass nobody gets what costs money, and a missing bypass takes nothing away.

named! {
    /// What a row of an import came to.
    pub enum Verdict {
        /// The learner is enrolled, or would be.
        Enrolled = "ENROLLED",
        /// The learner has this access already; nothing was done.
        Already = "ALREADY",
        /// It costs money, and the row does not ask for a bypass.
        PaymentRequired = "PAYMENT_REQUIRED",
        /// An earlier row of the file says the same.
        Repeat = "REPEAT",
        /// The e-mail address is none.
        BadAddress = "BAD_ADDRESS",
        /// There is no such course, library, group or session, or learners cannot be enrolled in it.
        UnknownCourse = "UNKNOWN_COURSE",
        /// The session has no seat left.
        SessionFull = "SESSION_FULL",
        /// A cell cannot be understood.
        BadRow = "BAD_ROW",
        /// The learner is not one of the company whose manager sent the file.
        NotAMember = "NOT_A_MEMBER",
    }
}

/// What decides whether somebody is enrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Whether whoever enrols lets the learner in without payment.
    pub bypass: bool,
    /// Whether it costs nothing.
    pub free: bool,
    /// Whether a living grant of the very same is there.
    pub has_same: bool,
    /// Whether another grant opens it.
    pub open: bool,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// A grant is given, by a bypass or because it costs nothing.
    Enrol {
        /// By a bypass.
        bypass: bool,
    },
    /// The learner has it; nothing is given.
    Already,
    /// It has to be paid first; nothing is given, and nothing is taken away.
    PaymentRequired,
}

/// Decides about one learner (R13, R14).
pub const fn decide(facts: Facts) -> Decision {
    match facts {
        Facts { has_same: true, .. } => Decision::Already,
        Facts { bypass: true, .. } => Decision::Enrol { bypass: true },
        Facts { open: true, .. } => Decision::Already,
        Facts { free: true, .. } => Decision::Enrol { bypass: false },
        Facts { .. } => Decision::PaymentRequired,
    }
}

/// What a cell says about the bypass: true or false in any case; nothing is false.
///
/// # Errors
/// Anything else.
pub fn bypass_of_cell(cell: &str) -> Result<bool, BypassCellFault> {
    match cell.trim() {
        "" => Ok(false),
        cell if cell.eq_ignore_ascii_case("true") => Ok(true),
        cell if cell.eq_ignore_ascii_case("false") => Ok(false),
        cell => Err(BypassCellFault(cell.to_owned())),
    }
}

/// A cell that is neither true nor false.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("payment_bypass is true or false, or empty for false; not {0:?}")]
pub struct BypassCellFault(String);

#[cfg(test)]
mod tests {
    use super::*;

    /// R13, R14: a bypass lets in; without one, what is free does; else it is to be paid. Who has it, has it.
    #[test]
    fn r13_r14_a_bypass_lets_in_and_its_absence_takes_nothing_away() {
        let facts = |text: &str| Facts {
            bypass: text.contains('b'),
            free: text.contains('f'),
            has_same: text.contains('s'),
            open: text.contains('o'),
        };
        let bypass = Decision::Enrol { bypass: true };
        for (given, expected) in [
            ("", Decision::PaymentRequired),
            ("b", bypass),
            ("bf", bypass),
            ("bo", bypass),
            ("f", Decision::Enrol { bypass: false }),
            ("fo", Decision::Already),
            ("o", Decision::Already),
            ("s", Decision::Already),
            ("bs", Decision::Already),
            ("bfso", Decision::Already),
        ] {
            assert_eq!(decide(facts(given)), expected, "{given:?}");
        }
    }

    /// R14: true and false in any case, nothing means false, and nothing else is guessed.
    #[test]
    fn r14_the_bypass_column_is_true_or_false() {
        for (cell, expected) in [
            ("true", Some(true)),
            ("TRUE", Some(true)),
            (" True ", Some(true)),
            ("false", Some(false)),
            ("", Some(false)),
            ("  ", Some(false)),
        ] {
            assert_eq!(bypass_of_cell(cell).ok(), expected, "{cell:?}");
        }
        for cell in ["1", "yes", "t", "wahr", "true!"] {
            assert!(bypass_of_cell(cell).is_err(), "{cell:?}");
        }
    }
}
