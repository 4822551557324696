/** What can be fuzzed. */
import type { Target } from '../target.ts'
import { chunked } from './chunked.ts'
import { frames } from './frames.ts'
import { hpack } from './hpack.ts'
import { path } from './path.ts'
import { pattern } from './pattern.ts'
import { proxy } from './proxy.ts'
import { request } from './request.ts'
import { response } from './response.ts'

export const TARGETS: readonly Target[] = [request, response, chunked, path, proxy, pattern, frames, hpack]
