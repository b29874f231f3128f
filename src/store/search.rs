//! Search in folded texts: the same hits on both databases, because the program folds and the databases only look for one text in another.

use sea_orm::sea_query::{Expr, ExprTrait, Func};
use sea_orm::{Condition, DbBackend};

/// Whether the text `haystack` holds `word`; `%` and `_` are plain characters.
pub fn contains(backend: DbBackend, haystack: Expr, word: &str) -> Expr {
    let function = if backend == DbBackend::Sqlite { "instr" } else { "strpos" };
    Expr::expr(Func::cust(function).arg(haystack).arg(Expr::val(word))).gt(0i32)
}

/// Whether each of the folded `words` occurs in one of the `haystacks`.
pub fn contains_all(backend: DbBackend, haystacks: &[Expr], words: &[String]) -> Condition {
    words.iter().fold(Condition::all(), |all, word| {
        all.add(haystacks.iter().fold(Condition::any(), |any, haystack| any.add(contains(backend, haystack.clone(), word))))
    })
}
