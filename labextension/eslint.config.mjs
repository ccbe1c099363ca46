// SPDX-License-Identifier: BSD-3-Clause
import eslint from '@eslint/js';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  { ignores: ['**/lib/**', '**/node_modules/**', 'ui-tests/**', 'packages/lab/style/*.js'] },
  eslint.configs.recommended,
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ['eslint.config.mjs', 'vitest.config.ts', 'scripts/*.mjs'] },
        tsconfigRootDir: import.meta.dirname
      }
    },
    rules: {
      // Indices that the lines around them prove to exist; the compiler is told so with a mark, not with a branch nobody can reach.
      '@typescript-eslint/no-non-null-assertion': 'off',
      // Numbers are what a drawing is made of.
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      'no-restricted-properties': [
        'error',
        { property: 'innerHTML', message: 'Text goes in as text: use textContent.' },
        { property: 'outerHTML', message: 'Text goes in as text.' }
      ],
      'no-restricted-syntax': [
        'error',
        { selector: 'CallExpression[callee.property.name="insertAdjacentHTML"]', message: 'Text goes in as text.' }
      ]
    }
  },
  {
    files: ['**/*.mjs', 'vitest.config.ts'],
    ...tseslint.configs.disableTypeChecked,
    languageOptions: { globals: { console: 'readonly', performance: 'readonly', process: 'readonly', URL: 'readonly' } }
  }
);
