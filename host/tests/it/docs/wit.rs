//! Makes the reference of the plugin interface from `wit/`.

use std::path::Path;

use wit_parser::{Docs, Function, Handle, Interface, Resolve, Type, TypeDef, TypeDefKind, WorldItem};

/// Returns the reference page.
pub(super) fn page(directory: &Path) -> String {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(directory).expect("`wit/` is valid");
    let package = &resolve.packages[package];
    let mut page = format!(
        "# Plugin interface\n\nPackage `{}`. Its source is in `wit/`; `etl-host new` copies it into a project. A plugin is a \
         component of one of the worlds below.\n",
        package.name
    );
    for (name, world) in &package.worlds {
        let world = &resolve.worlds[*world];
        page += &format!("\n## World `{name}`\n\n{}\n", about(&world.docs));
        for (verb, items) in [("imports", &world.imports), ("exports", &world.exports)] {
            let names: Vec<String> = items.values().filter_map(|item| interface_name(&resolve, item)).collect();
            page += &format!("- {verb} {}\n", names.join(", "));
        }
    }
    for (name, interface) in &package.interfaces {
        page += &of_interface(&resolve, name, &resolve.interfaces[*interface]);
    }
    page
}

fn interface_name(resolve: &Resolve, item: &WorldItem) -> Option<String> {
    let WorldItem::Interface { id, .. } = item else { return None };
    resolve.interfaces[*id].name.as_ref().map(|name| format!("`{name}`"))
}

fn of_interface(resolve: &Resolve, name: &str, interface: &Interface) -> String {
    let mut text = format!("\n## Interface `{name}`\n\n{}\n", about(&interface.docs));
    for (name, id) in &interface.types {
        // A type that is only used from another interface is documented there.
        if !matches!(resolve.types[*id].kind, TypeDefKind::Type(_)) {
            text += &of_type(resolve, name, &resolve.types[*id]);
        }
    }
    for (name, function) in &interface.functions {
        text += &format!("\n### `{name}`\n\n`{}`\n\n{}\n", signature(resolve, function), about(&function.docs));
    }
    text
}

fn of_type(resolve: &Resolve, name: &str, definition: &TypeDef) -> String {
    let head =
        |kind: &str, columns: &str| format!("\n### {kind} `{name}`\n\n{}\n\n{columns}\n", about(&definition.docs));
    let row = |name: &str, of: &str, docs: &Docs| format!("| `{name}` | {of} | {} |\n", about(docs).replace('\n', " "));
    match &definition.kind {
        TypeDefKind::Record(record) => {
            let rows = record.fields.iter().map(|field| row(&field.name, &type_name(resolve, &field.ty), &field.docs));
            head("Record", "| field | type | meaning |\n| --- | --- | --- |") + &rows.collect::<String>()
        }
        TypeDefKind::Variant(variant) => {
            let of = |ty: Option<&Type>| ty.map(|ty| type_name(resolve, ty)).unwrap_or_default();
            let rows = variant.cases.iter().map(|case| row(&case.name, &of(case.ty.as_ref()), &case.docs));
            head("Variant", "| case | holds | meaning |\n| --- | --- | --- |") + &rows.collect::<String>()
        }
        TypeDefKind::Enum(choices) => {
            let rows = choices.cases.iter().map(|case| row(&case.name, "", &case.docs));
            head("Enum", "| case | | meaning |\n| --- | --- | --- |") + &rows.collect::<String>()
        }
        other => panic!("the reference cannot describe `{name}`, which is a {}", other.as_str()),
    }
}

fn signature(resolve: &Resolve, function: &Function) -> String {
    let parameters: Vec<String> =
        function.params.iter().map(|param| format!("{}: {}", param.name, plain(resolve, &param.ty))).collect();
    let result = function.result.as_ref().map(|ty| format!(" -> {}", plain(resolve, ty))).unwrap_or_default();
    format!("func({}){result}", parameters.join(", "))
}

fn type_name(resolve: &Resolve, ty: &Type) -> String {
    format!("`{}`", plain(resolve, ty))
}

/// Returns a type in WIT's notation.
fn plain(resolve: &Resolve, ty: &Type) -> String {
    let Type::Id(id) = ty else { return primitive(ty).to_owned() };
    let definition = &resolve.types[*id];
    if let Some(name) = &definition.name {
        return name.clone();
    }
    let or_none = |ty: &Option<Type>| ty.as_ref().map_or_else(|| "_".to_owned(), |ty| plain(resolve, ty));
    match &definition.kind {
        TypeDefKind::List(item) => format!("list<{}>", plain(resolve, item)),
        TypeDefKind::Option(item) => format!("option<{}>", plain(resolve, item)),
        TypeDefKind::Result(result) => format!("result<{}, {}>", or_none(&result.ok), or_none(&result.err)),
        TypeDefKind::Tuple(tuple) => {
            let items: Vec<String> = tuple.types.iter().map(|ty| plain(resolve, ty)).collect();
            format!("tuple<{}>", items.join(", "))
        }
        TypeDefKind::Handle(Handle::Own(id) | Handle::Borrow(id)) => {
            resolve.types[*id].name.clone().unwrap_or_default()
        }
        other => panic!("the reference cannot describe a {}", other.as_str()),
    }
}

fn primitive(ty: &Type) -> &'static str {
    match ty {
        Type::Bool => "bool",
        Type::U8 => "u8",
        Type::U32 => "u32",
        Type::U64 => "u64",
        Type::S64 => "s64",
        Type::F64 => "f64",
        Type::String => "string",
        other => panic!("the reference cannot describe {other:?}"),
    }
}

fn about(docs: &Docs) -> String {
    docs.contents.as_deref().unwrap_or_default().trim().replace('|', "\\|")
}
