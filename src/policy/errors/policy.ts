import { type PolicyDefinition, planOnce } from '../definition.ts'
import { errorPages } from './filter.ts'
import { checkPages, type ErrorPage, type PagePlan, pageReferences, planPages } from './page.ts'

/** `errors`: pages in place of the bodies of error responses. */
export const errors: PolicyDefinition<readonly ErrorPage[], readonly PagePlan[]> = {
  key: 'errors',
  phase: 'error-pages',
  check: checkPages,
  references: { kinds: ['ConfigMap'], find: pageReferences },
  plan: planOnce(planPages),
  create: errorPages,
}
