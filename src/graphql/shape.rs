//! The order of an answer: that of the query, at every level.
//!
//! The GraphQL library runs the fields of an object side by side and writes each down when it is ready, while the specification wants them in
//! the order in which they were asked for. So the order is read off the document before it runs, and the answer is arranged by it.

use async_graphql::{
    Name, Positioned, Value, Variables,
    indexmap::IndexMap,
    parser::types::{Directive, ExecutableDocument, OperationDefinition, Selection, SelectionSet},
};

/// The keys of an object in the order of their first selection, each with the shape of what answers under it. Where an interface or union is
/// asked, the selections for all of its types count as one.
#[derive(Debug, Default)]
pub(super) struct Shape(IndexMap<Name, Shape>);

impl Shape {
    /// The shape of what `operation` of `document` will answer. The document was checked: its fragments are there, and none leads to itself.
    pub(super) fn of(document: &ExecutableDocument, operation: &OperationDefinition, variables: &Variables) -> Self {
        let mut shape = Self::default();
        Reading { document, operation, variables }.read(&operation.selection_set.node, &mut shape);
        shape
    }

    /// Puts the fields of every object of an answer into this order.
    pub(super) fn arrange(&self, answer: &mut Value) {
        match answer {
            // A leaf has no shape, whatever its value looks like.
            _ if self.0.is_empty() => {}
            Value::List(entries) => entries.iter_mut().for_each(|entry| self.arrange(entry)),
            Value::Object(fields) => {
                let mut expected = self.0.keys();
                if !fields.keys().all(|key| expected.any(|next| next == key)) {
                    fields.sort_by_cached_key(|key, _| self.0.get_index_of(key));
                }
                for (key, value) in fields.iter_mut() {
                    if let Some(shape) = self.0.get(key) {
                        shape.arrange(value);
                    }
                }
            }
            _ => {}
        }
    }
}

struct Reading<'a> {
    document: &'a ExecutableDocument,
    operation: &'a OperationDefinition,
    variables: &'a Variables,
}

impl Reading<'_> {
    fn read(&self, set: &SelectionSet, shape: &mut Shape) {
        for selection in &set.items {
            if self.is_left_out(selection.node.directives()) {
                continue;
            }
            match &selection.node {
                Selection::Field(field) => {
                    let below = shape.0.entry(field.node.response_key().node.clone()).or_default();
                    self.read(&field.node.selection_set.node, below);
                }
                Selection::InlineFragment(fragment) => self.read(&fragment.node.selection_set.node, shape),
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = self.document.fragments.get(&spread.node.fragment_name.node) {
                        self.read(&fragment.node.selection_set.node, shape);
                    }
                }
            }
        }
    }

    /// Whether `@skip` or `@include` leaves a selection out: a place that is never filled does not count as the first.
    fn is_left_out(&self, directives: &[Positioned<Directive>]) -> bool {
        directives.iter().any(|directive| {
            let given = directive.node.get_argument("if").map(|value| value.node.clone());
            let given = given.and_then(|value| value.into_const_with(|name| self.variable(&name).cloned().ok_or(())).ok());
            match directive.node.name.node.as_str() {
                "skip" => given == Some(Value::Boolean(true)),
                "include" => given == Some(Value::Boolean(false)),
                _ => false,
            }
        })
    }

    fn variable(&self, name: &Name) -> Option<&Value> {
        let definition = self.operation.variable_definitions.iter().find(|definition| definition.node.name.node == *name);
        self.variables.get(name).or_else(|| definition.and_then(|definition| definition.node.default_value()))
    }
}
