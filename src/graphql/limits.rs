//! What a GraphQL document may ask for, decided before anything of it runs.
//!
//! Always true here: the work done by [`check`] grows with the length of the document, never with what its fragments
//! expand to. A document that would expand to a billion fields is refused as fast as a short one is accepted.
//!
//! The order matters. A lexer runs over the text without recursion and bounds length and nesting, so that the
//! recursive-descent parser behind it cannot run out of stack. The parsed document is then measured with one result
//! remembered per fragment, because the validator of the GraphQL library walks every fragment as often as it is spread.

use std::{borrow::Cow, collections::HashMap, time::Duration};

use async_graphql::{
    Name, Pos, Positioned, ServerError, Value, Variables,
    parser::{
        Error as ParseError, parse_query,
        types::{DocumentOperations, ExecutableDocument, Field, OperationDefinition, OperationType, Selection, SelectionSet},
    },
};

use super::model::{Entries, SchemaModel};

/// Top-level error code: the request, or its document, is not one that can be executed.
pub const BAD_REQUEST: &str = "BAD_REQUEST";
/// Top-level error code: a value of an argument or a variable does not fit its type.
pub const BAD_INPUT: &str = "BAD_INPUT";
/// Top-level error code: the document asks for more than one request may.
pub const LIMIT_EXCEEDED: &str = "LIMIT_EXCEEDED";
/// Top-level error code: the server failed; the caller can do nothing but quote the request id.
pub const INTERNAL: &str = "INTERNAL";

/// The longest name a document may contain, in bytes. Suggestions ("did you mean") compare every unknown name with
/// every known one, which must stay cheap.
const NAME_BYTES: usize = 128;

/// How many selection sets may lie within one another, fragments counted, below the operation's own. The GraphQL
/// library has the same bound; ours answers first, with a code.
const LEVELS: usize = 32;

/// What introspection may cost for each type of the schema, counting each of its lists as [`INTROSPECTION_LIST`]
/// entries. The standard query of graphql-js with every option on costs 2,644; each further round through
/// `fields { type { fields` multiplies by [`INTROSPECTION_LIST`].
const INTROSPECTION_COST: usize = 5_000;

/// Assumed length of `fields`, `args`, `inputFields` and the like.
const INTROSPECTION_LIST: usize = 10;

/// The most that one request may ask for. The defaults let a page of 100 with everything on it pass, and the standard
/// introspection query; they refuse a page of 100 inside a page of 100.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Fields within one another, leaves counted.
    pub depth: usize,
    /// Cost of the operation, see [`check`].
    pub cost: usize,
    /// Fields and fragments of all operations, counted as often as fragments repeat them.
    pub selections: usize,
    /// Aliases of all operations, counted as often as fragments repeat them.
    pub aliases: usize,
    /// Directives at one place.
    pub directives: usize,
    /// Length of the text, in bytes.
    pub text_bytes: usize,
    /// Names, numbers, strings and punctuators in the text.
    pub tokens: usize,
    /// Brackets of any kind within one another.
    pub nesting: usize,
    /// Operations and fragments in the document.
    pub definitions: usize,
    /// Entries of a page when `first` is not given.
    pub page_size: usize,
    /// Entries of a page at most: a larger `first` is refused by its resolver.
    pub page_size_max: usize,
    /// Assumed entries of a list that is not a page.
    pub list_size: usize,
    /// Operations that may run at the same time on one WebSocket.
    pub operations_per_socket: usize,
    /// How long a query or a mutation may run. Subscriptions last until one side ends them.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth: 20,
            cost: 20_000,
            selections: 2_000,
            aliases: 200,
            directives: 8,
            text_bytes: 256 * 1024,
            tokens: 50_000,
            nesting: 64,
            definitions: 100,
            page_size: 20,
            page_size_max: 100,
            list_size: 5,
            operations_per_socket: 50,
            time: Duration::from_secs(30),
        }
    }
}

/// Why a document is not executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// [`BAD_REQUEST`], [`BAD_INPUT`] or [`LIMIT_EXCEEDED`].
    pub code: &'static str,
    /// What is wrong, for the caller; never quotes the document beyond one name.
    pub message: String,
    /// Where in the document, if one place can be named.
    pub locations: Vec<Pos>,
}

impl Refusal {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), locations: Vec::new() }
    }

    fn limit(what: &str, limit: usize) -> Self {
        Self::new(LIMIT_EXCEEDED, format!("The query has too many {what}: at most {limit} are allowed."))
    }

    fn at(mut self, pos: Pos) -> Self {
        self.locations.push(pos);
        self
    }
}

impl From<Refusal> for ServerError {
    fn from(refusal: Refusal) -> Self {
        let mut error = Self::new(refusal.message, None);
        error.locations = refusal.locations;
        error.extensions.get_or_insert_default().set("code", refusal.code);
        error
    }
}

impl From<ParseError> for Refusal {
    fn from(error: ParseError) -> Self {
        let message = match &error {
            // The parser quotes the line it failed on, which may be the whole request; only its last line, which names
            // what it expected, is fit to be sent back.
            ParseError::Syntax { message, .. } => match message.rsplit_once("\n  = ") {
                Some((_, expected)) => format!("Syntax error: {}.", expected.trim()),
                None => "Syntax error.".to_owned(),
            },
            ParseError::RecursionLimitExceeded => {
                return Self::new(LIMIT_EXCEEDED, "The query is nested too deeply.");
            }
            other => format!("Syntax error: {other}."),
        };
        Self { code: BAD_REQUEST, message, locations: error.positions().collect() }
    }
}

/// A document that may be executed.
#[derive(Debug)]
pub struct Checked {
    /// The parsed document, so that it need not be parsed again.
    pub document: ExecutableDocument,
    /// The kind of the operation that will be executed.
    pub kind: OperationType,
    /// The name of that operation.
    pub name: Option<Name>,
    /// Its cost; what [`Limits::cost`] was compared with.
    pub cost: usize,
}

/// What a field of the operation itself costs on top: each starts work of its own.
const ROOT_COST: usize = 10;

/// Parses a document and decides whether the named operation of it may be executed.
///
/// What it costs: a leaf nothing, an object 1, a field of the operation itself 10 more. A page (a field with an argument
/// `first` or `last`) costs 1 plus its size times what is asked of an entry; a list that is no page counts as
/// [`Limits::list_size`] entries. The lists inside a page (`edges`, `nodes`) are the page, and not multiplied again.
///
/// # Errors
/// [`LIMIT_EXCEEDED`] for one that asks too much; [`BAD_REQUEST`] for one that is not GraphQL, has no such operation,
/// has fragments that spread each other in a circle, or subscribes to more than one field; [`BAD_INPUT`] when a variable
/// that must have a value has none.
pub fn check(
    query: &str,
    operation_name: Option<&str>,
    variables: &Variables,
    model: &SchemaModel,
    limits: &Limits,
) -> Result<Checked, Refusal> {
    let document = parse(query, limits)?;
    if document.operations.iter().len() + document.fragments.len() > limits.definitions {
        return Err(Refusal::limit("operations and fragments", limits.definitions));
    }
    let (name, operation) = select(&document.operations, operation_name)?;

    let (mut selections, mut aliases, mut chosen) = (0_usize, 0_usize, Measure::default());
    for (_, each) in document.operations.iter() {
        let measure = Meter::new(&document, each, variables, model, limits).operation(each)?;
        selections = selections.saturating_add(measure.selections);
        aliases = aliases.saturating_add(measure.aliases);
        if std::ptr::eq(each, operation) {
            chosen = measure;
        }
    }
    if selections > limits.selections {
        return Err(Refusal::limit("fields and fragments, those repeated by fragments counted again", limits.selections));
    }
    if aliases > limits.aliases {
        return Err(Refusal::limit("aliases", limits.aliases));
    }
    if chosen.introspection > INTROSPECTION_COST {
        return Err(Refusal::new(LIMIT_EXCEEDED, "The query asks for more introspection than one request may."));
    }
    if chosen.cost > limits.cost {
        let message = format!("The query costs {}, which is more than {}: ask for less, or for smaller pages.", chosen.cost, limits.cost);
        return Err(Refusal::new(LIMIT_EXCEEDED, message));
    }
    let kind = operation.node.ty;
    if kind == OperationType::Subscription && chosen.width > 1 {
        return Err(Refusal::new(BAD_REQUEST, "A subscription must have exactly one field.").at(operation.pos));
    }
    required_variables(&operation.node, variables)?;
    let name = name.cloned();
    Ok(Checked { kind, name, cost: chosen.cost, document })
}

/// Parses a document within the bounds on length and nesting.
pub(super) fn parse(query: &str, limits: &Limits) -> Result<ExecutableDocument, Refusal> {
    Ok(parse_query(lex(query, limits)?)?)
}

/// The operation that a request means, with its name.
pub(super) fn select<'a>(
    operations: &'a DocumentOperations,
    name: Option<&str>,
) -> Result<(Option<&'a Name>, &'a Positioned<OperationDefinition>), Refusal> {
    match (operations, name) {
        (DocumentOperations::Single(operation), None) => Ok((None, operation)),
        (DocumentOperations::Multiple(named), Some(name)) if named.contains_key(name) => {
            Ok(named.get_key_value(name).map(|(name, operation)| (Some(name), operation)).expect("the key was just found"))
        }
        (_, Some(_)) => Err(Refusal::new(BAD_REQUEST, "The document has no operation of the given operationName.")),
        (DocumentOperations::Multiple(named), None) => {
            let mut all = named.iter();
            match (all.next(), all.next()) {
                (Some((name, operation)), None) => Ok((Some(name), operation)),
                _ => Err(Refusal::new(BAD_REQUEST, "The document has several operations: say which in operationName.")),
            }
        }
    }
}

/// A variable without a value is a mistake of the request, not of the fields that use it.
fn required_variables(operation: &OperationDefinition, variables: &Variables) -> Result<(), Refusal> {
    for definition in &operation.variable_definitions {
        let Positioned { node, pos } = definition;
        if node.var_type.node.nullable {
            continue;
        }
        let problem = match variables.get(&node.name.node) {
            None if node.default_value.is_none() => "has no value",
            Some(Value::Null) => "is null",
            _ => continue,
        };
        let message = format!("Variable \"${}\" of type \"{}\" {problem}.", node.name.node, node.var_type.node);
        return Err(Refusal::new(BAD_INPUT, message).at(*pos));
    }
    Ok(())
}

/// What a selection set asks for, its fragments expanded.
#[derive(Debug, Clone, Copy, Default)]
struct Measure {
    /// Fields and fragments, at every depth. Fragments count although they are nothing by themselves: the validator
    /// walks them all the same, even those that lead to no field.
    selections: usize,
    /// Fields of the set itself.
    width: usize,
    aliases: usize,
    /// Longest chain of fields.
    depth: usize,
    /// Longest chain of selection sets, fragments counted.
    levels: usize,
    /// Cost of ordinary fields.
    cost: usize,
    /// Cost of introspection, which is not added to the ordinary cost.
    introspection: usize,
}

impl Measure {
    /// Adds a selection that stands beside those already counted.
    fn beside(&mut self, other: Self) {
        self.selections = self.selections.saturating_add(other.selections);
        self.width = self.width.saturating_add(other.width);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.depth = self.depth.max(other.depth);
        self.levels = self.levels.max(other.levels);
        self.cost = self.cost.saturating_add(other.cost);
        self.introspection = self.introspection.saturating_add(other.introspection);
    }
}

enum Seen {
    /// Being measured: to meet it again is a circle.
    Open,
    Done(Measure),
}

struct Meter<'a> {
    document: &'a ExecutableDocument,
    operation: &'a OperationDefinition,
    variables: &'a Variables,
    model: &'a SchemaModel,
    limits: &'a Limits,
    fragments: HashMap<&'a str, Seen>,
}

impl<'a> Meter<'a> {
    fn new(
        document: &'a ExecutableDocument,
        operation: &'a Positioned<OperationDefinition>,
        variables: &'a Variables,
        model: &'a SchemaModel,
        limits: &'a Limits,
    ) -> Self {
        Self { document, operation: &operation.node, variables, model, limits, fragments: HashMap::new() }
    }

    fn operation(mut self, operation: &'a Positioned<OperationDefinition>) -> Result<Measure, Refusal> {
        self.directives(operation.node.directives.len(), operation.pos)?;
        let root = self.model.root(operation.node.ty);
        let mut measure = self.set(&operation.node.selection_set.node, root, 0)?;
        // Fields of the operation start queries of their own, and `cost` of them is counted as objects so far.
        measure.cost = measure.cost.saturating_add(measure.width.saturating_mul(ROOT_COST));
        if measure.depth > self.limits.depth {
            let message = format!("The query is nested too deeply: at most {} fields within one another are allowed.", self.limits.depth);
            return Err(Refusal::new(LIMIT_EXCEEDED, message));
        }
        Ok(measure)
    }

    /// Measures a set found `level` sets below the operation's own. `level` bounds the recursion, whatever fragments
    /// the document strings together.
    fn set(&mut self, set: &'a SelectionSet, parent: &'a str, level: usize) -> Result<Measure, Refusal> {
        let mut total = Measure::default();
        for selection in &set.items {
            let measure = match &selection.node {
                Selection::Field(field) => {
                    self.directives(field.node.directives.len(), field.pos)?;
                    self.field(&field.node, parent, level)?
                }
                Selection::InlineFragment(fragment) => {
                    self.directives(fragment.node.directives.len(), fragment.pos)?;
                    let on = fragment.node.type_condition.as_ref().map_or(parent, |condition| condition.node.on.node.as_str());
                    self.below(&fragment.node.selection_set.node, on, level)?
                }
                Selection::FragmentSpread(spread) => {
                    self.directives(spread.node.directives.len(), spread.pos)?;
                    self.fragment(spread.node.fragment_name.node.as_str(), spread.pos, level)?
                }
            };
            total.beside(measure);
            total.selections = total.selections.saturating_add(1);
        }
        Ok(total)
    }

    fn below(&mut self, set: &'a SelectionSet, parent: &'a str, level: usize) -> Result<Measure, Refusal> {
        if level >= LEVELS {
            return Err(too_many_levels());
        }
        let mut measure = self.set(set, parent, level + 1)?;
        measure.levels += 1;
        Ok(measure)
    }

    fn field(&mut self, field: &'a Field, parent: &'a str, level: usize) -> Result<Measure, Refusal> {
        let leaf = field.selection_set.node.items.is_empty();
        let (result, entries) = self.model.field(parent, field.name.node.as_str());
        let mut measure = if leaf { Measure::default() } else { self.below(&field.selection_set.node, result, level)? };
        measure.width = 1;
        measure.aliases = measure.aliases.saturating_add(usize::from(field.alias.is_some()));
        measure.depth += 1;
        if leaf {
            return Ok(measure);
        }
        let introspection = parent.starts_with("__");
        let times = match entries {
            Entries::One => 1,
            Entries::List if introspection => INTROSPECTION_LIST,
            Entries::List => self.limits.list_size,
            Entries::Page => self.page_size(field),
        };
        if introspection {
            measure.introspection = times.saturating_mul(measure.introspection.saturating_add(1));
        } else if entries == Entries::Page {
            measure.cost = measure.cost.saturating_mul(times).saturating_add(1);
        } else {
            measure.cost = times.saturating_mul(measure.cost.saturating_add(1));
        }
        Ok(measure)
    }

    fn page_size(&self, field: &Field) -> usize {
        let given = ["first", "last"].into_iter().filter_map(|name| field.get_argument(name)).find_map(|value| {
            let value = value.node.clone().into_const_with(|name| self.variable(&name).cloned().ok_or(())).ok()?;
            match value {
                // What is not a whole number, or negative, is refused by the validator; it must only not cost less.
                Value::Number(number) => Some(number.as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(self.limits.page_size_max)),
                _ => None,
            }
        });
        given.unwrap_or(self.limits.page_size).clamp(1, self.limits.page_size_max)
    }

    fn variable(&self, name: &str) -> Option<&Value> {
        self.variables.get(&Name::new(name)).or_else(|| {
            let definition = self.operation.variable_definitions.iter().find(|definition| definition.node.name.node == name)?;
            definition.node.default_value.as_ref().map(|value| &value.node)
        })
    }

    fn fragment(&mut self, name: &'a str, pos: Pos, level: usize) -> Result<Measure, Refusal> {
        match self.fragments.get(name) {
            Some(Seen::Open) => {
                return Err(Refusal::new(BAD_REQUEST, "The document has fragments that spread each other in a circle.").at(pos));
            }
            Some(Seen::Done(measure)) => {
                if level + measure.levels > LEVELS {
                    return Err(too_many_levels());
                }
                return Ok(*measure);
            }
            None => {}
        }
        // An unknown fragment is the validator's to refuse.
        let Some(fragment) = self.document.fragments.get(name) else { return Ok(Measure::default()) };
        self.directives(fragment.node.directives.len(), fragment.pos)?;
        self.fragments.insert(name, Seen::Open);
        let on = fragment.node.type_condition.node.on.node.as_str();
        let measure = self.below(&fragment.node.selection_set.node, on, level)?;
        self.fragments.insert(name, Seen::Done(measure));
        Ok(measure)
    }

    fn directives(&self, count: usize, pos: Pos) -> Result<(), Refusal> {
        if count > self.limits.directives {
            return Err(Refusal::limit("directives at one place", self.limits.directives).at(pos));
        }
        Ok(())
    }
}

fn too_many_levels() -> Refusal {
    Refusal::new(LIMIT_EXCEEDED, format!("The query is nested too deeply: at most {LEVELS} selections within one another are allowed."))
}

/// Runs over the text once: bounds tokens and nesting, and rewrites what the parser does not know.
///
/// Rewritten are `\u{1F600}` and surrogate pairs in strings (as the character itself) and descriptions of operations
/// and fragments (as blanks, so that positions stay right). Wherever this lexer and the parser could disagree about
/// where a string ends, the text is refused, so that no bracket can hide from the count.
fn lex<'a>(text: &'a str, limits: &Limits) -> Result<Cow<'a, str>, Refusal> {
    let bytes = text.as_bytes();
    if bytes.len() > limits.text_bytes {
        return Err(Refusal::new(
            LIMIT_EXCEEDED,
            format!("The query is longer than {} bytes: send values as variables.", limits.text_bytes),
        ));
    }
    let mut rewriter = Rewriter::new(text);
    let (mut at, mut tokens, mut nesting, mut between_definitions) = (0, 0_usize, 0_usize, true);
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            b' ' | b'\t' | b'\n' | b'\r' | b',' => {
                at += 1;
                continue;
            }
            b'#' => {
                at += bytes[at..].iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(bytes.len() - at);
                continue;
            }
            b'"' => {
                let description = nesting == 0 && between_definitions;
                let mut discarded = Rewriter::new(text);
                let escapes = if description { &mut discarded } else { &mut rewriter };
                at = if bytes[at..].starts_with(b"\"\"\"") { block_string(bytes, at)? } else { string(escapes, at)? };
                if description {
                    rewriter.blank(start, at);
                }
            }
            b'{' | b'(' | b'[' => {
                nesting += 1;
                if nesting > limits.nesting {
                    return Err(Refusal::new(LIMIT_EXCEEDED, "The query is nested too deeply."));
                }
                between_definitions = false;
                at += 1;
            }
            b'}' | b')' | b']' => {
                nesting = nesting.saturating_sub(1);
                between_definitions = nesting == 0 && bytes[at] == b'}';
                at += 1;
            }
            byte if word(byte) => {
                at += bytes[at..].iter().position(|byte| !word(*byte)).unwrap_or(bytes.len() - at);
                if at - start > NAME_BYTES {
                    return Err(Refusal::new(BAD_REQUEST, "Syntax error: a name or number is too long."));
                }
                between_definitions = false;
            }
            _ => at += 1,
        }
        tokens += 1;
        if tokens > limits.tokens {
            return Err(Refusal::limit("words and signs", limits.tokens));
        }
    }
    Ok(rewriter.finish())
}

fn word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn unterminated() -> Refusal {
    Refusal::new(BAD_REQUEST, "Syntax error: a string has no end.")
}

/// The end of the block string that starts at `start`.
fn block_string(bytes: &[u8], start: usize) -> Result<usize, Refusal> {
    let mut at = start + 3;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"\\\"\"\"") {
            at += 4;
        } else if bytes[at..].starts_with(b"\"\"\"") {
            return Ok(at + 3);
        } else {
            at += 1;
        }
    }
    Err(unterminated())
}

/// The end of the string that starts at `start`.
fn string(rewriter: &mut Rewriter<'_>, start: usize) -> Result<usize, Refusal> {
    let bytes = rewriter.text.as_bytes();
    let mut at = start + 1;
    loop {
        match bytes.get(at) {
            None | Some(b'\n' | b'\r') => return Err(unterminated()),
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') if bytes.get(at + 1) == Some(&b'u') => {
                let (end, escaped) = escape(rewriter.text, at)
                    .ok_or_else(|| Refusal::new(BAD_REQUEST, "Syntax error: a string has an escape that is not a Unicode character."))?;
                if end - at > "\\u0000".len() || bytes[at + 2] == b'{' {
                    rewriter.put(at, end, escaped);
                }
                at = end;
            }
            // Skips the escaped character; the parser knows which ones exist. It may start a longer UTF-8 sequence,
            // none of whose other bytes is a quote, a backslash or a line end.
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}

/// The end and the character of the Unicode escape at `at`: `\uXXXX`, a pair of those, or `\u{X…}`.
fn escape(text: &str, at: usize) -> Option<(usize, char)> {
    let hex = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok()).flatten();
    let digits = at + 2;
    if text.get(digits..=digits) == Some("{") {
        let length = text[digits + 1..].find('}').filter(|length| (1..=8).contains(length))?;
        let end = digits + 1 + length;
        return Some((end + 1, char::from_u32(hex(&text[digits + 1..end])?)?));
    }
    let first = hex(text.get(digits..digits + 4)?)?;
    if !(0xD800..0xDC00).contains(&first) {
        return Some((digits + 4, char::from_u32(first)?));
    }
    text.get(digits + 4..digits + 6).filter(|next| *next == "\\u")?;
    let second = hex(text.get(digits + 6..digits + 10)?)?;
    let low = second.checked_sub(0xDC00).filter(|low| *low < 0x400)?;
    Some((digits + 10, char::from_u32(0x10000 + ((first - 0xD800) << 10) + low)?))
}

/// Copies the text from the first change on; without a change it is borrowed.
struct Rewriter<'a> {
    text: &'a str,
    copied: usize,
    out: String,
}

impl<'a> Rewriter<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, copied: 0, out: String::new() }
    }

    fn put(&mut self, from: usize, to: usize, character: char) {
        self.out.push_str(&self.text[self.copied..from]);
        self.copied = to;
        match character {
            // These would end the string or start an escape: the parser's own escape keeps them what they are.
            '"' | '\\' | '\0'..='\u{1f}' => {
                self.out.push_str("\\u00");
                let code = u32::from(character);
                self.out.extend([code >> 4, code & 0xf].into_iter().filter_map(|digit| char::from_digit(digit, 16)));
            }
            other => self.out.push(other),
        }
    }

    fn blank(&mut self, from: usize, to: usize) {
        self.out.push_str(&self.text[self.copied..from]);
        self.out.extend(self.text[from..to].chars().map(|character| if matches!(character, '\n' | '\r') { character } else { ' ' }));
        self.copied = to;
    }

    fn finish(mut self) -> Cow<'a, str> {
        if self.copied == 0 {
            return Cow::Borrowed(self.text);
        }
        self.out.push_str(&self.text[self.copied..]);
        Cow::Owned(self.out)
    }
}
