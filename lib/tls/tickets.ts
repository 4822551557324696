/** Keys of session tickets, the same in every data thread. */
import { randomBytes } from 'node:crypto'

const TICKET_KEY_BYTES = 48 // name, HMAC key and AES key, 16 bytes each

export const newTicketKeys = (): Uint8Array => randomBytes(TICKET_KEY_BYTES)
