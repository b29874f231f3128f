//! The rule for a field that failed: it is null, and where null is not allowed, the nearest object or list around it is.
//!
//! The GraphQL library leaves a field that failed out of the answer, whether it may be null or not, and replaces an
//! object of which every field failed by null. A client that knows the schema relies on each field that it asked for
//! being there, and on one declared `!` never being null, so the answer is put right after the fact, and only when there
//! are errors: the document is read once more, and each error's path followed through it.

use async_graphql::{
    PathSegment, Response, Value,
    indexmap::IndexMap,
    parser::types::{BaseType, ExecutableDocument, Field, Selection, SelectionSet, Type},
};

use super::{
    limits::{Limits, parse, select},
    model::SchemaModel,
};

/// Puts the nulls of `response` right. `query` is the document that it answers.
pub(super) fn settle(response: &mut Response, query: &str, operation_name: Option<&str>, model: &SchemaModel, limits: &Limits) {
    if response.errors.iter().all(|error| error.path.is_empty()) {
        return;
    }
    // Both succeeded when the document was checked.
    let Ok(document) = parse(query, limits) else { return };
    let Ok((_, operation)) = select(&document.operations, operation_name) else { return };
    let rule = Rule { document: &document, model };
    let root = Set { parent: model.root(operation.node.ty), set: &operation.node.selection_set.node };
    for error in &response.errors {
        if !error.path.is_empty() && rule.object(&[root], &mut response.data, &error.path) == Fate::TakesParentAlong {
            response.data = Value::Null;
            return;
        }
    }
}

/// A selection set and the type whose fields it selects.
#[derive(Clone, Copy)]
struct Set<'a> {
    parent: &'a str,
    set: &'a SelectionSet,
}

#[derive(PartialEq, Eq)]
enum Fate {
    Stands,
    TakesParentAlong,
}

struct Rule<'a> {
    document: &'a ExecutableDocument,
    model: &'a SchemaModel,
}

impl<'a> Rule<'a> {
    /// Follows `path` from an object that `sets` select from.
    fn object(&self, sets: &[Set<'a>], value: &mut Value, path: &[PathSegment]) -> Fate {
        let Some((PathSegment::Field(key), rest)) = path.split_first() else { return Fate::Stands };
        if !matches!(value, Value::Object(_)) {
            // Every field failed; the errors that follow bring the others.
            *value = Value::Object(IndexMap::new());
        }
        let Value::Object(fields) = value else { return Fate::Stands };
        let mut selected = Vec::new();
        for set in sets {
            self.find(*set, key, &mut selected);
        }
        let declared = selected.iter().find_map(|(parent, field)| self.model.declared(parent, &field.name.node));
        let Some(declared) = declared else { return Fate::Stands };
        let inner: Vec<Set<'a>> = selected
            .iter()
            .map(|(parent, field)| Set { parent: self.model.field(parent, &field.name.node).0, set: &field.selection_set.node })
            .collect();
        let field = fields.entry(async_graphql::Name::new(key)).or_insert(Value::Null);
        self.position(declared, &inner, field, rest)
    }

    /// Follows `path` from a position of type `ty`, and makes it null when the error arose here or comes up to here.
    fn position(&self, ty: &Type, sets: &[Set<'a>], value: &mut Value, path: &[PathSegment]) -> Fate {
        let fate = match (path.first(), &ty.base, &mut *value) {
            (Some(PathSegment::Index(index)), BaseType::List(entry), Value::List(entries)) => match entries.get_mut(*index) {
                Some(value) => self.position(entry, sets, value, &path[1..]),
                None => Fate::Stands,
            },
            (Some(PathSegment::Field(_)), BaseType::Named(_), value) => self.object(sets, value, path),
            // The error arose here; or in a list of which nothing is left.
            _ => Fate::TakesParentAlong,
        };
        if fate == Fate::Stands {
            return Fate::Stands;
        }
        *value = Value::Null;
        if ty.nullable { Fate::Stands } else { Fate::TakesParentAlong }
    }

    /// The fields that answer under `key`, through fragments, with the type that each belongs to.
    fn find(&self, Set { parent, set }: Set<'a>, key: &str, found: &mut Vec<(&'a str, &'a Field)>) {
        for selection in &set.items {
            match &selection.node {
                Selection::Field(field) if field.node.response_key().node == key => found.push((parent, &field.node)),
                Selection::Field(_) => {}
                Selection::InlineFragment(fragment) => {
                    let on = fragment.node.type_condition.as_ref().map_or(parent, |condition| condition.node.on.node.as_str());
                    self.find(Set { parent: on, set: &fragment.node.selection_set.node }, key, found);
                }
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = self.document.fragments.get(&spread.node.fragment_name.node) {
                        let on = fragment.node.type_condition.node.on.node.as_str();
                        self.find(Set { parent: on, set: &fragment.node.selection_set.node }, key, found);
                    }
                }
            }
        }
    }
}
