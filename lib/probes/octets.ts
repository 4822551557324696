/** What a configuration gives as text or as hexadecimal digits, as bytes. */

export const octetsOf = (value: string | { readonly hex: string }): Buffer =>
  typeof value === 'string' ? Buffer.from(value) : Buffer.from(value.hex.replaceAll(' ', ''), 'hex')
