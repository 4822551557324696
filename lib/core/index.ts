export { type Address, type AddressRange, formatAddress, parseAddressRange } from './address.ts'
export { addressBytes } from './address-bytes.ts'
export { type BerElement, berLengthBytes, decodeBer, encodeBer, encodeBerInteger } from './ber.ts'
export { AddressSet } from './cidr.ts'
export { type Clock, ManualClock, nowMs, systemClock, wallAt } from './clock.ts'
export { durationOf } from './duration.ts'
export { BalancerError, codeOf, ERRORS, type ErrorCode, type ErrorSource, messageOf } from './errors.ts'
export { FAULT, type FaultListener, fault, onFault } from './faults.ts'
export { collectGarbage } from './garbage.ts'
export { hashText, mix32 } from './hash.ts'
export { isHostName } from './host-name.ts'
export {
  HttpFailure,
  type HttpFailureReason,
  type HttpRequest,
  type HttpResponse,
  httpRequest,
} from './http-client.ts'
export type { Latin1 } from './latin1.ts'
export { Line, type Waiting } from './line.ts'
export {
  createLogger,
  createRelayedLogger,
  type LogDestination,
  type Logger,
  openLogDestination,
  writeLogLine,
} from './logger.ts'
export { nearest } from './nearest.ts'
export { createServer, request, STATUS_CODES } from './node-http.ts'
export { migrationInUpgrade, migrationNote, movesQueued } from './queue-migration.ts'
export { type Member, Roster } from './roster.ts'
export {
  connectTcp,
  type FreeTlsHandle,
  freeTls,
  type Name,
  readBelow,
  receiveBelow,
  type TcpHandle,
  type TcpHandles,
  type TlsHandle,
  tcpHandles,
  tlsHandleOf,
  UV_EOF,
  type WriteRequest,
} from './tcp-handle.ts'
export { shortText } from './text.ts'
export { Deadline, type DeadlineOwner, DeadlineWheel } from './timers.ts'
export { type TlsTrust, tlsOptions, tlsProblem } from './tls-client.ts'
