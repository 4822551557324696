export { type AdminOptions, type AdminServer, startAdmin } from './server.ts'
