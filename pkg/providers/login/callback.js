"use strict";
(function () {
  var fragment = location.hash.slice(1), form = document.forms[0];
  if (!fragment) return;
  history.replaceState(null, "", location.pathname);
  form.elements.fragment.value = fragment;
  form.submit();
})();