//! Reads `#[serde(…)]`, `#[describe(…)]` and doc comments of a type, its fields and its variants.

use syn::{Attribute, Expr, ExprLit, Lit, LitStr, Meta, Token, ext::IdentExt, meta::ParseNestedMeta};

use crate::{default::Written, names::Case};

/// The attributes of a whole type.
#[derive(Default)]
pub(crate) struct Container {
    rename_all: Option<Case>,
    has_default: bool,
    /// Whether the default comes from the type's `Default`, not from a function that the attribute names.
    is_default: bool,
    /// Whether at least one field has `#[describe(default = …)]`.
    pub(crate) is_described: bool,
}

/// The value of a field that is left out, if it is known.
pub(crate) enum Default {
    /// Not known, or the field may not be left out.
    Unknown,
    /// The `Default` of the field's type.
    OfType,
    /// A value from `#[describe(default = …)]`, as JSON.
    Json(String),
}

/// A field that is read from the configuration.
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) has_default: bool,
    pub(crate) default: Default,
    /// Whether a function reads the field, so that its type does not tell which values it takes.
    pub(crate) opaque: bool,
}

/// The functions that read the attributes of a variant.
pub(crate) struct Variant;

impl Container {
    pub(crate) fn new(attributes: &[Attribute]) -> syn::Result<Self> {
        let mut container = Self::default();
        each_serde(attributes, |meta| {
            match name_of(&meta).as_str() {
                "rename_all" => container.rename_all = Some(case(&meta)?),
                "default" => (container.has_default, container.is_default) = (true, !has_value(&meta)?),
                "deny_unknown_fields" => {}
                "crate" | "expecting" | "bound" => _ = has_value(&meta)?,
                _ => return Err(unknown(&meta)),
            }
            Ok(())
        })?;
        Ok(container)
    }
}

impl Field {
    /// Returns the description of a field; `None` if the field is not read from the configuration.
    pub(crate) fn new(field: &syn::Field, container: &Container) -> syn::Result<Option<Self>> {
        let ident = field.ident.as_ref().expect("a named field has a name").unraw().to_string();
        let (mut name, mut skipped) =
            (container.rename_all.map_or_else(|| ident.clone(), |case| case.of_field(&ident)), false);
        let (mut has_default, mut opaque) = (container.has_default, false);
        let mut default = if container.is_described { Default::OfType } else { Default::Unknown };
        let mut has_own = false;
        each_serde(&field.attrs, |meta| {
            match name_of(&meta).as_str() {
                "rename" => name = text(&meta)?,
                "default" => {
                    (has_own, has_default) = (true, true);
                    default = if has_value(&meta)? { Default::Unknown } else { Default::OfType };
                }
                "skip" | "skip_deserializing" => skipped = true,
                "deserialize_with" | "with" => (opaque, _) = (true, has_value(&meta)?),
                "bound" | "borrow" => _ = has_value(&meta)?,
                _ => return Err(unknown(&meta)),
            }
            Ok(())
        })?;
        if let Some(written) = written_default(field)? {
            if has_own || !container.is_default {
                let what =
                    "`#[describe(default = …)]` needs `#[serde(default)]` on the whole type, and not on the field";
                return Err(syn::Error::new_spanned(field, what));
            }
            default = Default::Json(written.json);
        }
        let description = description(&field.attrs);
        Ok((!skipped).then_some(Self { name, description, has_default, default, opaque }))
    }
}

impl Variant {
    /// Returns whether a variant is the one that `#[derive(Default)]` makes.
    pub(crate) fn is_default(variant: &syn::Variant) -> bool {
        variant.attrs.iter().any(|attribute| attribute.path().is_ident("default"))
    }

    /// Returns the name of a variant in the configuration; `None` if the variant is not read from it.
    pub(crate) fn name(variant: &syn::Variant, container: &Container) -> syn::Result<Option<String>> {
        let ident = variant.ident.unraw().to_string();
        let mut name = container.rename_all.map_or_else(|| ident.clone(), |case| case.of_variant(&ident));
        let mut skipped = false;
        each_serde(&variant.attrs, |meta| {
            match name_of(&meta).as_str() {
                "rename" => name = text(&meta)?,
                "skip" | "skip_deserializing" => skipped = true,
                _ => return Err(unknown(&meta)),
            }
            Ok(())
        })?;
        Ok((!skipped).then_some(name))
    }
}

/// Returns the doc comment, with its lines joined by spaces.
fn description(attributes: &[Attribute]) -> Option<String> {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
            Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) => Some(line.value().trim().to_owned()),
            _ => None,
        },
        _ => None,
    });
    let text = lines.collect::<Vec<_>>().join(" ");
    (!text.trim().is_empty()).then(|| text.trim().to_owned())
}

fn each_serde(
    attributes: &[Attribute],
    mut each: impl FnMut(ParseNestedMeta<'_>) -> syn::Result<()>,
) -> syn::Result<()> {
    let serde = attributes.iter().filter(|attribute| attribute.path().is_ident("serde"));
    serde.into_iter().try_for_each(|attribute| attribute.parse_nested_meta(&mut each))
}

fn name_of(meta: &ParseNestedMeta<'_>) -> String {
    meta.path.get_ident().map(ToString::to_string).unwrap_or_default()
}

fn text(meta: &ParseNestedMeta<'_>) -> syn::Result<String> {
    Ok(meta.value()?.parse::<LitStr>()?.value())
}

fn case(meta: &ParseNestedMeta<'_>) -> syn::Result<Case> {
    let written = text(meta)?;
    Case::new(&written).ok_or_else(|| meta.error(format!("`{written}` is not a case of serde's `rename_all`")))
}

/// Skips the value of an attribute, if it has one, and returns whether it has.
fn has_value(meta: &ParseNestedMeta<'_>) -> syn::Result<bool> {
    if meta.input.peek(Token![=]) { meta.value()?.parse::<Expr>().map(|_| true) } else { Ok(false) }
}

/// Returns the default that `#[describe(default = …)]` gives a field.
pub(crate) fn written_default(field: &syn::Field) -> syn::Result<Option<Written>> {
    let mut written = None;
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("describe")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("default") {
                return Err(meta.error("`describe` takes `default = …`"));
            }
            written = Some(Written::new(&meta.value()?.parse()?)?);
            Ok(())
        })?;
    }
    Ok(written)
}

fn unknown(meta: &ParseNestedMeta<'_>) -> syn::Error {
    meta.error("`Describe` cannot describe this attribute; implement `etl_plugin::Describe` by hand")
}
