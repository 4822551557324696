/** Which texts are host names. */

const HOST_NAME = /^(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/i
const ONLY_DIGITS = /^[\d.]+$/ // an address, or a part of one

/** `shop.test`, or `*.shop.test`. */
export const isHostName = (text: string): boolean =>
  text.length <= 253 && HOST_NAME.test(text) && !ONLY_DIGITS.test(text)
