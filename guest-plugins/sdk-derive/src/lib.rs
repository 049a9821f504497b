//! The derive macros `Describe` and `Record` of the crate `etl-plugin`, which documents them.

mod attributes;
mod column_type;
mod default;
mod names;
mod record;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Fields, parse_macro_input};

use self::attributes::{Container, Default, Field, Variant};

/// Implements `etl_plugin::Describe`, which is documented there.
#[proc_macro_derive(Describe, attributes(describe))]
pub fn describe(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    implementation(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// Implements `etl_plugin::Record`, which is documented there.
#[proc_macro_derive(Record, attributes(record))]
pub fn record(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    record::implementation(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

fn implementation(input: &DeriveInput) -> syn::Result<TokenStream> {
    let mut container = Container::new(&input.attrs)?;
    let (mut default, mut value) = (quote! {}, quote! {});
    let schema = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => {
                let described = of_whole(fields.named.iter())?;
                container.is_described = described.is_some();
                value.extend(described.map(|fields| default_of(input, &fields)));
                object(&container, fields.named.iter())?
            }
            Fields::Unit => quote! { .text("{\"type\":\"null\"}") },
            Fields::Unnamed(_) => {
                return Err(syn::Error::new_spanned(input, "a tuple has no named fields to describe"));
            }
        },
        Data::Enum(data) if data.variants.iter().all(|variant| variant.fields.is_empty()) => {
            let mut names = Vec::new();
            for variant in &data.variants {
                let Some(name) = Variant::name(variant, &container)?.map(|name| names::json(&name)) else { continue };
                if Variant::is_default(variant) {
                    default = quote! { const DEFAULT: &'static str = #name; };
                }
                names.push(name);
            }
            let text = format!("{{\"enum\":[{}]}}", names.join(","));
            quote! { .text(#text) }
        }
        // Serde reads an enum with fields in too many forms to describe, so the schema allows any value; the step
        // itself refuses a wrong one.
        Data::Enum(_) => quote! { .text("{}") },
        Data::Union(_) => return Err(syn::Error::new_spanned(input, "a union cannot be read from a configuration")),
    };
    let (name, (generics, arguments, bounds)) = (&input.ident, input.generics.split_for_impl());
    Ok(quote! {
        impl #generics ::etl_plugin::Describe for #name #arguments #bounds {
            const SCHEMA: ::etl_plugin::SchemaText = ::etl_plugin::SchemaText::new()#schema;
            #default
        }
        #value
    })
}

/// Returns the default values of all fields; `None` if no field has a described default.
fn of_whole<'a>(fields: impl Iterator<Item = &'a syn::Field>) -> syn::Result<Option<TokenStream>> {
    let (mut values, mut any) = (quote! {}, false);
    for field in fields {
        let (name, described) = (&field.ident, attributes::written_default(field)?);
        any |= described.is_some();
        let value = described.map_or_else(|| quote! { ::core::default::Default::default() }, |default| default.value);
        values.extend(quote! { #name: #value, });
    }
    Ok(any.then_some(values))
}

/// Returns an implementation of `Default` with these field values.
fn default_of(input: &DeriveInput, fields: &TokenStream) -> TokenStream {
    let (name, (generics, arguments, bounds)) = (&input.ident, input.generics.split_for_impl());
    quote! {
        impl #generics ::core::default::Default for #name #arguments #bounds {
            fn default() -> Self {
                Self { #fields }
            }
        }
    }
}

/// Returns the calls that write the schema of an object with these fields.
fn object<'a>(container: &Container, fields: impl Iterator<Item = &'a syn::Field>) -> syn::Result<TokenStream> {
    let mut calls = quote! { .text("{\"type\":\"object\",\"properties\":{") };
    let (mut first, mut required) = (true, quote! {});
    for field in fields {
        let Some(said) = Field::new(field, container)? else { continue };
        let Field { name, description, has_default, default, opaque } = said;
        let (ty, comma) = (&field.ty, if first { "" } else { "," });
        let start = format!("{comma}{}:", names::json(&name));
        let description = description.map(|text| format!("\"description\":{}", names::json(&text))).unwrap_or_default();
        let default = match default {
            Default::Json(json) => quote! { #json },
            Default::OfType if !opaque => quote! { <#ty as ::etl_plugin::Describe>::DEFAULT },
            Default::OfType | Default::Unknown => quote! { "" },
        };
        let schema = if opaque {
            quote! { ::etl_plugin::SchemaText::new().text("{}") }
        } else {
            quote! { <#ty as ::etl_plugin::Describe>::SCHEMA }
        };
        calls.extend(quote! { .text(#start).with(&#schema, #description).with_default(#default) });
        if !has_default && !opaque {
            let name = names::json(&name);
            required.extend(quote! { .item(<#ty as ::etl_plugin::Describe>::REQUIRED, #name) });
        }
        first = false;
    }
    Ok(quote! { #calls.text("},\"required\":[")#required.text("],\"additionalProperties\":false}") })
}
