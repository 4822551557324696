/** Stands in the place of `tap` for one file, with a query of its own: see host.ts. */
import { asGuest } from './hosted.ts'

// biome-ignore lint/style/noDefaultExport: tap has one
export default asGuest()
