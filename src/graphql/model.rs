//! The schema as data, read from its own text: what the limits and the null rule need to know of a field.

use std::collections::HashMap;

use async_graphql::{
    Name, Positioned,
    parser::{
        Error as ParseError, parse_schema,
        types::{BaseType, FieldDefinition, OperationType, Type, TypeKind, TypeSystemDefinition},
    },
};

/// The object and interface types of a schema, with their fields.
#[derive(Debug, Default)]
pub struct SchemaModel {
    query: String,
    mutation: String,
    subscription: String,
    types: HashMap<String, HashMap<String, FieldModel>>,
}

#[derive(Debug)]
struct FieldModel {
    ty: Type,
    /// The named type at the heart of `ty`.
    result: String,
    entries: Entries,
}

/// How many objects a field stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entries {
    /// One, or the lists of a page, whose size the page has already been counted with.
    One,
    /// As many as its argument `first` or `last` says.
    Page,
    /// A list of which nothing says how long it is.
    List,
}

impl SchemaModel {
    /// Reads the model from a schema in the schema definition language.
    ///
    /// # Errors
    /// When the text is not a schema.
    pub fn from_sdl(sdl: &str) -> Result<Self, ParseError> {
        let mut model = Self { query: "Query".into(), mutation: "Mutation".into(), subscription: "Subscription".into(), ..Self::default() };
        let mut pages = Vec::new();
        for definition in parse_schema(sdl)?.definitions {
            match definition {
                TypeSystemDefinition::Schema(schema) => {
                    let name = |root: &Option<Positioned<Name>>| root.as_ref().map(|name| name.node.to_string()).unwrap_or_default();
                    model.query = name(&schema.node.query);
                    model.mutation = name(&schema.node.mutation);
                    model.subscription = name(&schema.node.subscription);
                }
                TypeSystemDefinition::Type(definition) => {
                    let fields = match definition.node.kind {
                        TypeKind::Object(object) => object.fields,
                        TypeKind::Interface(interface) => interface.fields,
                        _ => continue,
                    };
                    let fields = fields.into_iter().map(|field| (field.node.name.node.to_string(), FieldModel::of(field.node)));
                    let fields: HashMap<_, _> = fields.collect();
                    pages.extend(fields.values().filter(|field| field.entries == Entries::Page).map(|field| field.result.clone()));
                    model.types.insert(definition.node.name.node.to_string(), fields);
                }
                TypeSystemDefinition::Directive(_) => {}
            }
        }
        for page in pages {
            for field in model.types.get_mut(&page).into_iter().flat_map(HashMap::values_mut) {
                if field.entries == Entries::List {
                    field.entries = Entries::One;
                }
            }
        }
        Ok(model)
    }

    /// The type that the fields of an operation belong to.
    pub(super) fn root(&self, kind: OperationType) -> &str {
        match kind {
            OperationType::Query => &self.query,
            OperationType::Mutation => &self.mutation,
            OperationType::Subscription => &self.subscription,
        }
    }

    /// The type a field leads to, and how many of them. A field that the schema does not have leads nowhere and counts
    /// once: the validator refuses it later. Introspection, which the text of a schema leaves out, is known by its names.
    pub(super) fn field(&self, parent: &str, field: &str) -> (&str, Entries) {
        if parent.starts_with("__") {
            let list = matches!(field, "fields" | "args" | "inputFields" | "interfaces" | "possibleTypes" | "enumValues" | "directives");
            return ("__Type", if list { Entries::List } else { Entries::One });
        }
        match (self.types.get(parent).and_then(|fields| fields.get(field)), field) {
            (Some(field), _) => (&field.result, field.entries),
            (None, "__schema" | "__type") => ("__Type", Entries::One),
            (None, _) => ("", Entries::One),
        }
    }

    /// The declared type of a field, with its lists and exclamation marks.
    pub(super) fn declared(&self, parent: &str, field: &str) -> Option<&Type> {
        self.types.get(parent)?.get(field).map(|field| &field.ty)
    }
}

impl FieldModel {
    fn of(field: FieldDefinition) -> Self {
        let page = field.arguments.iter().any(|argument| matches!(argument.node.name.node.as_str(), "first" | "last"));
        let ty = field.ty.node;
        let (mut base, mut list) = (&ty.base, false);
        let result = loop {
            match base {
                BaseType::Named(name) => break name.to_string(),
                BaseType::List(inner) => (base, list) = (&inner.base, true),
            }
        };
        let entries = match (page, list) {
            (true, _) => Entries::Page,
            (false, true) => Entries::List,
            (false, false) => Entries::One,
        };
        Self { ty, result, entries }
    }
}
