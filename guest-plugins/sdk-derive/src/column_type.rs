//! Types of columns that an attribute gives: `decimal(10, 2)`, `timestamp(us, "UTC")`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Ident, LitInt, LitStr, Token, meta::ParseNestedMeta, parenthesized, parse::ParseStream};

/// The types that an attribute can give, for messages.
const TYPES: &str = "`key`, `name = \"…\"`, `decimal(precision, scale)`, `time(unit)`, `timestamp(unit, \"zone\")`, \
                     `duration(unit)`, `binary(bytes)`, `json`, `float16`, `list(…)`";

/// Returns the expression of a type that is an item of `#[record(…)]`.
pub(crate) fn parse(meta: &ParseNestedMeta<'_>) -> syn::Result<TokenStream> {
    match meta.path.get_ident() {
        Some(name) => named(name, meta.input),
        None => Err(meta.error(format!("`record` takes {TYPES}"))),
    }
}

fn named(name: &Ident, rest: ParseStream<'_>) -> syn::Result<TokenStream> {
    let data_type = quote! { ::etl_plugin::DataType };
    match name.to_string().as_str() {
        "json" => return Ok(quote! { #data_type::Json }),
        "float16" => return Ok(quote! { #data_type::Float16 }),
        "decimal" | "time" | "timestamp" | "duration" | "binary" | "list" => {}
        _ => return Err(syn::Error::new(name.span(), format!("`record` takes {TYPES}"))),
    }
    let arguments;
    parenthesized!(arguments in rest);
    let parsed = match name.to_string().as_str() {
        "decimal" => decimal(&arguments)?,
        "time" => {
            let unit = unit(&arguments)?;
            quote! { #data_type::Time(#unit) }
        }
        "duration" => {
            let unit = unit(&arguments)?;
            quote! { #data_type::Duration(#unit) }
        }
        "timestamp" => timestamp(&arguments)?,
        "binary" => {
            let bytes: u32 = arguments.parse::<LitInt>()?.base10_parse()?;
            quote! { #data_type::FixedBinary(#bytes) }
        }
        _ => {
            let items = named(&arguments.parse()?, &arguments)?;
            quote! { #data_type::list(#items) }
        }
    };
    if arguments.is_empty() { Ok(parsed) } else { Err(arguments.error("more than the type takes")) }
}

fn decimal(arguments: ParseStream<'_>) -> syn::Result<TokenStream> {
    let digits: LitInt = arguments.parse()?;
    arguments.parse::<Token![,]>()?;
    let (precision, scale): (u8, i8) = (digits.base10_parse()?, arguments.parse::<LitInt>()?.base10_parse()?);
    if !(1..=38).contains(&precision) || scale > precision as i8 {
        return Err(syn::Error::new(
            digits.span(),
            "a decimal has 1 to 38 digits, and no more of them behind the point",
        ));
    }
    Ok(quote! { ::etl_plugin::DataType::Decimal { precision: #precision, scale: #scale } })
}

fn timestamp(arguments: ParseStream<'_>) -> syn::Result<TokenStream> {
    let unit = unit(arguments)?;
    let zone = match arguments.parse::<Option<Token![,]>>()? {
        Some(_) => {
            let zone: LitStr = arguments.parse()?;
            quote! { ::core::option::Option::Some(::std::string::String::from(#zone)) }
        }
        None => quote! { ::core::option::Option::None },
    };
    Ok(quote! { ::etl_plugin::DataType::Timestamp { unit: #unit, zone: #zone } })
}

fn unit(arguments: ParseStream<'_>) -> syn::Result<TokenStream> {
    let name: Ident = arguments.parse()?;
    let unit = match name.to_string().as_str() {
        "s" => "Second",
        "ms" => "Milli",
        "us" => "Micro",
        "ns" => "Nano",
        _ => return Err(syn::Error::new(name.span(), "a unit is `s`, `ms`, `us` or `ns`")),
    };
    let unit = format_ident!("{unit}");
    Ok(quote! { ::etl_plugin::Unit::#unit })
}
