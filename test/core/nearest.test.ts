/** The word that was probably meant. */
import t from 'tap'
import { nearest } from '../../lib/core/index.ts'

t.test('a name is suggested when it is near, and no other', (t) => {
  const names = ['web', 'web-secure', 'echo']
  t.equal(nearest('wab', names), 'web')
  t.equal(nearest('Web_Secure', names), 'web-secure')
  t.equal(nearest('ehco', names), 'echo', 'two letters that changed places')
  t.equal(nearest('database', names), undefined)
  t.equal(nearest('x'.repeat(1000), names), undefined)
  t.end()
})
